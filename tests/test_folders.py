"""One process at a time writes a folder; whatever ends it, the folder can be resumed or started again."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinyalbert import UserError
from tinyalbert.cli import main
from tinyalbert.files.taken import LOCK, taken

ROWS = "text\tlabel\n" + "".join(f"the {'good' if i % 2 else 'bad'} dog number {i}\t{'yes' if i % 2 else 'no'}\n"
                                 for i in range(20))


slow = pytest.mark.skipif(os.environ.get("HYPOTHESIS_PROFILE") != "deep", reason="slow: scripts/test.py --all")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a tiny model and a table."""
    folder = tmp_path_factory.mktemp("folders")
    (folder / "rows.tsv").write_text(ROWS)
    (folder / "text.txt").write_text("The old dog found a red kite near the mill. Nobody knew why it was there.\n\n\n" * 12)
    command = "pretrain stories:40 --preset tiny --vocab-size 300 --steps 2 --max-length 32 --stages --threads 1"
    assert main(shlex.split(f"{command} --output {folder}/base")) == 0
    return folder


@pytest.fixture
def inside(world, tmp_path, monkeypatch, capsys):
    """The same in a working folder of a test's own."""
    for name in ("rows.tsv", "text.txt"):
        shutil.copy(world / name, tmp_path)
    (tmp_path / "base").symlink_to(world / "base")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return capsys


def run(command):
    return main(shlex.split(command))


COMMANDS = {  # that write the folder x
    "tokenizer": "tokenizer stories:30 --vocab-size 250 --output x",
    "prepare": "prepare stories:30 --tokenizer base --output x",
    "pretrain": "pretrain stories:30 --preset tiny --vocab-size 250 --steps 2 --max-length 32 --stages --threads 1 --output x",
    "finetune": "finetune rows.tsv --model base --steps 2 --threads 1 --output x",
    "resume": "pretrain --resume --output x",
    "convert": "convert base --output x",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_another_process_has_taken_is_refused(inside, name):
    """Whoever has taken it; nothing is written, and it is free as soon as that process is dead."""
    code = ("import sys, time\nfrom tinyalbert.files.taken import taken\n"
            "with taken('x'):\n    print('taken', flush=True)\n    time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "taken\n"
        assert run(COMMANDS[name]) == 2
        said = inside.readouterr().err
        assert f"x is taken: process {other.pid} on" in said and "choose another output folder" in said
        assert os.listdir("x") == [LOCK]
        other.kill()
    if name in ("tokenizer", "convert"):
        assert run(COMMANDS[name]) == 0 and LOCK not in os.listdir("x")


def test_two_threads_are_two_writers_and_one_may_take_a_folder_twice(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    def take():
        with taken(tmp_path / "x"):
            return "taken"
    with taken(tmp_path / "x"), taken(tmp_path / "x"), ThreadPoolExecutor(1) as pool:
        with pytest.raises(UserError, match="is taken: process"):
            pool.submit(take).result()
    assert take() == "taken" and not (tmp_path / "x").exists()


def test_what_a_dead_process_left_is_removed(tmp_path):
    for name in (".model.safetensors.123.tmp", "last/.training_state.safetensors.9.tmp", "notes.tmp", LOCK):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with taken(tmp_path):
        assert sorted(os.listdir(tmp_path)) == [LOCK, "last", "notes.tmp"] and not os.listdir(tmp_path / "last")
    assert sorted(os.listdir(tmp_path)) == ["last", "notes.tmp"]


def test_a_folder_without_locks_is_taken_by_a_file(tmp_path, monkeypatch):
    """As on network disks whose server keeps none."""
    import errno
    import fcntl

    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr(fcntl, "flock", none)
    code = "import os, sys\nfrom tinyalbert.files.taken import taken\nwith taken(sys.argv[1]): os._exit(9)"
    code = f"import errno, fcntl\ndef none(*_): raise OSError(errno.ENOLCK, 'No locks')\nfcntl.flock = none\n{code}"
    with taken(tmp_path):
        refused = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
        assert "is taken: another process" in refused.stderr
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 9     # it died with the folder taken
    with taken(tmp_path):
        pass
    assert not os.listdir(tmp_path)


# --- after any end, the folder can be resumed or started ----------------------------------------------------------

FINETUNE = "finetune rows.tsv --model base --steps 4 --threads 1 --output"
PRETRAIN = ("pretrain stories:30 --preset tiny --vocab-size 250 --steps 4 --eval-every 2 --max-length 32 --batch-size 4 --stages "
            "--threads 1 --workers 1 --output")


def contents(folder):
    """{name: bytes} of a folder, without what tells of time and place."""
    def plain(path):
        if path.suffix == ".jsonl":
            lines = map(json.loads, path.read_text().splitlines())
            return [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second")} for line in lines]
        return path.read_bytes()
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    timed = ("loss.png", "training_state.safetensors", "pretrain.json", "finetune.json", "meta.json")
    return {name: None if path.name in timed else plain(path) for name, path in files.items()}


class Killed(BaseException):
    """The process is gone: nothing after it runs but what Python itself does."""


@pytest.mark.parametrize("command", [pytest.param(FINETUNE, marks=slow), pytest.param(PRETRAIN, marks=slow)])
def test_a_run_that_dies_anywhere_ends_as_one_that_did_not(inside, command):
    """Before the first checkpoint, between model and checkpoint, between the last checkpoint and the results."""
    import tinyalbert.tasks.finetune as finetune
    import tinyalbert.training.checkpoints as checkpoints
    import tinyalbert.training.log as log
    assert run(f"{command} whole") == 0
    whole = contents(Path("whole"))

    def dies(patch, place, name, after, number):
        real, calls = getattr(place, name), []

        def wrapped(*args, **more):
            calls.append(1)
            if len(calls) == number and not after:
                raise Killed
            value = real(*args, **more)
            if len(calls) == number and after:
                raise Killed
            return value
        patch.setattr(place, name, wrapped)
    cases = [(checkpoints, "save_training_state", after, number) for number in (1, 2) for after in (False, True)]
    cases += [(checkpoints.Checkpoints, "save_model", after, 1) for after in (False, True)]
    cases += [(log.Log, "begin", True, 1), (log.Log, "add", False, 6)]
    if command == FINETUNE:
        cases += [(finetune, "_write_json", True, 2), (finetune, "draw_run", False, 1)]
    for case in cases:
        shutil.rmtree("x", ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            dies(patch, *case)
            run(f"{command} x")
        begun = Path("x/last/training_state.safetensors").exists()
        again = f"{command.split()[0]} --resume --output x" if begun else f"{command} x"
        assert run(again) == 0, (case, inside.readouterr().err)
        assert contents(Path("x")) == whole, case
        assert run(f"{command.split()[0]} --resume --output x") == 2 and "is complete (4 steps)" in inside.readouterr().err


@slow
@pytest.mark.parametrize("moment", range(0, 12, 3))
def test_death_while_a_prepared_folder_is_replaced(inside, monkeypatch, moment):
    """Whoever comes next finds the new folder whole: who reads it, and who prepares it once more."""
    from tinyalbert.pretraining import shards
    assert run("prepare stories:30 --tokenizer base --output x") == 0
    assert run("prepare stories:40 --tokenizer base --output new") == 0
    Path("x/notes.txt").write_text("a stranger's")
    real, calls = os.replace, []

    def replace(*names):
        calls.append(names)
        if len(calls) > moment and ".partial" in str(names[0]) and not str(names[1]).endswith(".tmp"):
            raise Killed
        return real(*names)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shards.os, "replace", replace)
        run("prepare stories:40 --tokenizer base --overwrite --output x")
    complete = Path("x/.partial/meta.json").exists()
    found = shards.Shards("x")
    assert found.meta["documents"] == (40 if complete else 30)
    assert not complete or not Path("x/.partial").exists()
    assert run("prepare stories:40 --tokenizer base --overwrite --output x") == 0
    assert {**contents(Path("new")), "notes.txt": b"a stranger's"} == contents(Path("x"))


def test_a_strangers_partial_folder_is_left_alone(inside):
    Path("x.partial").mkdir()
    Path("x.partial/thesis.txt").write_text("mine")
    assert run("prepare stories:30 --tokenizer base --output x") == 0
    assert Path("x.partial/thesis.txt").read_text() == "mine"


def test_a_conversion_that_dies_can_be_made_again(inside, monkeypatch):
    import tinyalbert.convert as convert
    for place in ("_copy_tokenizer", "write_config"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            def killed(*_):
                raise Killed
            patch.setattr(convert, place, killed)
            run("convert base --output x")
        assert not Path("x/model.safetensors").exists()
    assert run("convert base --output x") == 0 and run("convert base --output x") == 2


# --- a resumed run is known by what it holds ----------------------------------------------------------------------

def other_labels(text):
    return text.replace("\tno", "\tyy").replace("\tyes", "\taa")


@pytest.mark.parametrize("change", [
    other_labels,
    *(pytest.param(change, marks=slow) for change in (
        lambda text: text + "one more row\tyes\n",
        lambda text: text[:-len(text.splitlines()[-1]) - 1],
        lambda text: text.replace("number 7", "letter b"),
        lambda text: "\n".join([text.splitlines()[0], *reversed(text.splitlines()[1:])]) + "\n",
    )),
])
def test_other_rows_are_refused_and_the_same_ones_go_on(inside, change):
    assert run(f"{FINETUNE} x") == 0
    before = contents(Path("x"))
    Path("rows.tsv").write_text(change(ROWS))
    inside.readouterr()
    assert run("finetune --output x --resume --steps 6") == 2
    said = inside.readouterr().err
    assert "these are not the rows that the run in x began with" in said and "Put those back" in said
    assert contents(Path("x")) == before
    Path("rows.tsv").write_text(ROWS)                                   # as it says
    assert run("finetune --output x --resume --steps 6") == 0


@slow
def test_a_moved_run_is_found_without_its_model(inside, tmp_path, monkeypatch):
    """With what stood around it; or the rows are named; a model folder is not needed."""
    (tmp_path / "a").mkdir()
    shutil.copy("rows.tsv", "a")
    monkeypatch.chdir(tmp_path / "a")
    assert run(f"{FINETUNE.replace('base', '../base')} x") == 0
    monkeypatch.chdir(tmp_path)
    os.rename("a", "b")
    os.unlink("base")
    monkeypatch.chdir(tmp_path / "b")
    assert run("finetune --output x --resume --steps 5") == 0
    os.rename("rows.tsv", "table.tsv")
    inside.readouterr()
    assert run("finetune --output x --resume --steps 6") == 2
    assert "which is gone; say where they are: tinyalbert finetune ROWS --resume" in inside.readouterr().err
    assert run("finetune table.tsv --output x --resume --steps 6") == 0
    assert run("finetune --output x --resume --steps 7") == 0           # where they are is kept


@slow
def test_a_pretraining_goes_on_only_with_the_data_that_it_began_with(inside):
    assert run("prepare stories:30 --tokenizer base --output data") == 0
    assert run(f"{PRETRAIN.replace('stories:30', 'data').replace('--vocab-size 250 --steps', '--steps')} x".replace(
        "--workers 1 ", "")) == 0
    assert run("prepare stories:30 --seed 1 --tokenizer base --overwrite --output data") == 0        # others are held out
    assert run("pretrain --resume --steps 6 --output x") == 2
    assert "does not hold the text that the run in" in inside.readouterr().err
    assert run("prepare stories:30 --tokenizer base --output elsewhere") == 0
    assert run("pretrain elsewhere --resume --steps 6 --output x") == 0
    shutil.rmtree("data")
    shutil.rmtree("elsewhere")
    assert run("pretrain --resume --steps 8 --output x") == 2
    assert "is gone; name the prepared folder: tinyalbert pretrain FOLDER --resume" in inside.readouterr().err


@slow
def test_what_a_run_was_begun_with_is_kept(inside):
    assert run(f"{PRETRAIN} x --save-every 3") == 0
    assert run("pretrain --resume --steps 8 --output x") == 0
    options = json.loads(Path("x/pretrain.json").read_text())["options"]
    assert options["eval_every"] == 2 and options["save_every"] == 3 and options["threads"] == 1
    evaluated = [line["step"] for line in contents(Path("x"))["log.jsonl"] if line["kind"] == "eval"]
    assert evaluated == [0, 2, 4, 6, 8]


# --- a run that diverges -------------------------------------------------------------------------------------------

@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("lr, steps", [
    ("1e6", 12), *(pytest.param(*values, marks=slow) for values in (("1e30", 4), ("10", 8), ("100", 3)))])
def test_the_advice_of_a_run_that_diverged_leads_out(inside, lr, steps):
    """Whether the loss is infinite or has only exploded; what it says is done as it stands there."""
    import re
    command = f"finetune rows.tsv --model base --threads 1 --steps {steps}"
    assert run(f"{command} --lr {lr} --output x") == 2
    said = inside.readouterr().err.splitlines()[-1]
    lower = re.search(r"--lr (\S+?)\)", said)[1]
    assert float(lower) <= 1e-3
    if "--resume goes on from there" in said:
        assert run(f"finetune --resume --lr {lower} --output x") == 0
    elif "There was no checkpoint yet: start again" in said:
        assert run(f"{command} --lr {lower} --output x") == 0
    else:
        assert "start anew in another folder" in said
        assert run(f"{command} --lr {lower} --output y") == 0


@slow
def test_a_run_that_diverged_later_goes_on_with_a_lower_rate(inside, monkeypatch):
    from tinyalbert.training.trainer import Trainer
    real = Trainer.step

    def step(self, batch, lr=None):
        if self.steps_done == 3 and self.lr > 1e-3:
            batch = {**batch, "labels": batch["labels"]}
            self.model.parameters()[-1].data[...] = float("nan")
        return real(self, batch, lr)
    monkeypatch.setattr(Trainer, "step", step)
    assert run(f"{PRETRAIN} x --lr 0.01") == 2
    said = inside.readouterr().err.splitlines()[-1]
    assert "The last good checkpoint, of step 2, is in" in said and "(--lr 0.001)" in said
    assert run("pretrain --resume --lr 0.001 --output x") == 0
    assert "resumed with lr 0.001; the run had 0.01" in inside.readouterr().err
    assert json.loads(Path("x/pretrain.json").read_text())["options"]["lr"] == 0.001


def test_what_is_no_number_is_not_saved_over_what_is(tmp_path):
    from tinyalbert import AlbertConfig, AlbertForPreTraining, Trainer
    from tinyalbert.training.checkpoints import Checkpoints
    from tinyalbert.training.metrics import TrainingDiverged
    config = AlbertConfig(vocab_size=50, hidden_size=8, num_attention_heads=2, embedding_size=8, intermediate_size=8)
    trainer = Trainer(AlbertForPreTraining(config), threads=1, total_steps=2)
    kept = Checkpoints(tmp_path, trainer)
    kept.save_model()
    kept.save({}, {})
    before = contents(tmp_path)
    trainer.model.parameters()[0].data[0] = float("inf")
    with pytest.raises(TrainingDiverged, match="is not finite any more.*was not saved"):
        kept.save({}, {})
    with pytest.raises(TrainingDiverged, match="was not saved"):
        kept.save_model()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("lr, said", [("1e-12", True), ("1e-7", True), ("1e-3", False)])
def test_a_rate_that_changes_nothing_is_said(inside, lr, said):
    assert run(f"finetune rows.tsv --model base --threads 1 --steps 2 --lr {lr} --output x") == 0
    assert ("the model will hardly change" in inside.readouterr().err) == said


@pytest.mark.parametrize("options, words", [
    ("--threads 100000", "at most 1,024"), ("--dropout 1", "at most 0.9"), ("--dropout 0.9999999", "at most 0.9")])
def test_numbers_that_no_run_can_use(inside, options, words):
    with pytest.raises(SystemExit):
        run(f"{FINETUNE} x {options}")
    assert words in inside.readouterr().err and not Path("x").exists()
