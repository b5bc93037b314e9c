"""One process at a time writes a folder; whatever ends it, the folder can be resumed or started again."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest

from tinyalbert import UserError
from tinyalbert.cli import main
from tinyalbert.files.taken import LOCK, taken

ROWS = "text\tlabel\n" + "".join(f"the {'good' if i % 2 else 'bad'} dog number {i}\t{'yes' if i % 2 else 'no'}\n"
                                 for i in range(20))


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
