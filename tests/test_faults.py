"""What goes wrong in the middle: signals, streams and disks that fail, forks, threads and tasks that overlap.

The kills themselves are in scripts/faults.py, of which the deep profile runs a sample.
"""

import ast
import asyncio
import contextlib
import copy
import errno
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyalbert
from tinyalbert import AlbertConfig, AlbertForMaskedLM, Trainer, UserError, no_grad, use_kernels
from tinyalbert.cli import main
from tinyalbert.errors import advice_for
from tinyalbert.files.writing import CannotWrite, replacing
from tinyalbert.modes import mode
from tinyalbert.plots import draw_run
from tinyalbert.tensor import Tensor
from tinyalbert.training.log import Log
from tinyalbert.training.loop import train
from tinyalbert.training.replicas import Threads, _blas

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(tinyalbert.__file__).parent
DEEP = settings.default.max_examples > 100
deep = pytest.mark.skipif(not DEEP, reason="a process more: HYPOTHESIS_PROFILE=deep")
posix = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and forks of POSIX")
RUN = ["pretrain", "stories:300", "--preset", "tiny", "--vocab-size", "200", "--max-length", "32", "--batch-size", "4",
       "--workers", "1", "--threads", "1", "--output", "run"]


def start(words, folder, hangup=signal.SIG_DFL):
    """The command; hangup: what it inherits for SIGHUP, whatever the tests were started with (nohup)."""
    def inherit():
        signal.signal(signal.SIGHUP, hangup)

    return subprocess.Popen([sys.executable, "-m", "tinyalbert", *words], cwd=folder, stderr=subprocess.PIPE, text=True,
                            stdout=subprocess.DEVNULL, start_new_session=True, preexec_fn=inherit if os.name == "posix" else None)


def until(there, seconds=60):
    """Wait until a condition holds."""
    for _ in range(100 * seconds):
        if there():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


def batch(seed=0, rows=4):
    ids = np.random.default_rng(seed).integers(5, 50, (rows, 8))
    return {"input_ids": ids, "labels": ids}


def small(seed=0):
    return AlbertForMaskedLM(AlbertConfig(vocab_size=50, hidden_size=16, embedding_size=8, num_attention_heads=2,
                                          intermediate_size=16, num_hidden_layers=2), seed=seed)


# --- signals ------------------------------------------------------------------------------------------------------

@posix
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), pytest.param(signal.SIGHUP, 129, marks=deep)])
def test_a_training_that_is_told_to_end_is_saved_and_goes_on(number, code, tmp_path):
    process = start([*RUN, "--steps", "100000", "--eval-every", "50000"], tmp_path)
    log = tmp_path / "run" / "log.jsonl"
    until(lambda: log.exists() and '"train"' in log.read_text())
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code and "--resume goes on from there" in said.splitlines()[-1]
    assert (tmp_path / "run" / "last" / "training_state.safetensors").exists() and "Traceback" not in said


@posix
@deep
def test_nohup_means_that_a_hangup_changes_nothing(tmp_path):
    process = start([*RUN, "--steps", "40"], tmp_path, hangup=signal.SIG_IGN)
    log = tmp_path / "run" / "log.jsonl"
    until(lambda: log.exists() and '"train"' in log.read_text())
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0


def group(number):
    """Commands of the processes of a group that have not ended."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pgid=,stat=,args="], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [args for pgid, stat, args in rows if pgid == str(number) and not stat.startswith("Z")]


@posix
@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=deep), pytest.param(signal.SIGHUP, marks=deep),
                                    signal.SIGKILL])
def test_the_workers_of_a_preparation_end_with_it(number, tmp_path):
    subprocess.run([sys.executable, "-m", "tinyalbert", "tokenizer", "stories:60", "--vocab-size", "100", "--output",
                    "words"], cwd=tmp_path, check=True, capture_output=True)
    process = start(["prepare", "stories:400000", "--tokenizer", "words", "--workers", "2", "--output", "data"], tmp_path)
    tokens = tmp_path / "data" / ".partial" / "tokens.bin"
    until(lambda: tokens.exists() and tokens.stat().st_size)
    assert sum("spawn import spawn_main" in args for args in group(process.pid)) == 2
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    until(lambda: not group(process.pid), seconds=10)
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number and said.endswith("\ntinyalbert: stopped\n") and "Traceback" not in said
        assert not (tmp_path / "data").exists()


def alive(number):
    """Whether a process runs; one that has ended and waits to be asked for its code does not."""
    state = subprocess.run(["ps", "-p", str(number), "-o", "stat="], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=deep),
                                    pytest.param(signal.SIGKILL, marks=deep)])
def test_sentencepiece_ends_with_the_command_that_started_it(number, tmp_path):
    process = start(["tokenizer", "stories:200000", "--vocab-size", "500", "--output", "words"], tmp_path)

    def learner():
        listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()]
        return [int(pid) for pid, ppid, args in rows if ppid == str(process.pid) and "learner.py" in args]
    until(learner)
    time.sleep(0.3)
    (child,) = learner()
    process.send_signal(number)
    said = process.communicate(timeout=20)[1]
    until(lambda: not alive(child), seconds=10)
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number and said.count("tinyalbert: ") == 1 and "Traceback" not in said


@posix
@deep
def test_too_little_memory_for_sentencepiece_is_named(tmp_path):
    words = f"{sys.executable} -m tinyalbert tokenizer stories:3000 --vocab-size 2000 --output words"
    done = subprocess.run(["bash", "-c", f"ulimit -v 450000; {words}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "too little memory" in done.stderr.splitlines()[-1], done.stderr


@posix
@pytest.mark.parametrize("pause", [0, pytest.param(0.02, marks=deep)])
def test_ctrl_c_pressed_four_times_is_one_line(pause, tmp_path):
    process = start([*RUN, "--steps", "100000"], tmp_path)
    log = tmp_path / "run" / "log.jsonl"
    until(lambda: log.exists() and '"train"' in log.read_text())
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in said and said.count("tinyalbert: ") == 1, said


# --- what is shown ------------------------------------------------------------------------------------------------

@posix
@pytest.mark.parametrize("how", [
    ">/dev/full 2>&1", *(pytest.param(how, marks=deep) for how in (
        "2>/dev/full", ">/dev/full", "2>&1 | head -c 1", "2> >(head -c 1)"))])
def test_a_training_ends_well_whoever_reads_what_it_shows(how, tmp_path):
    if "full" in how and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    words = " ".join([sys.executable, "-m", "tinyalbert", *RUN, "--steps", "3"])
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {words} {how}"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0 and (tmp_path / "run" / "model.safetensors").exists(), done.stderr


@posix
def test_what_could_not_be_printed_is_said(tmp_path):
    done = subprocess.run(f"{sys.executable} -m tinyalbert info base_v2 >/dev/full", shell=True, capture_output=True)
    assert done.returncode == 2 and b"standard output could not be written" in done.stderr


class Failing:
    """A stream that fails with an error."""

    def __init__(self, error):
        self.error = error

    def write(self, text):
        raise self.error

    flush = isatty = lambda self: False


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "gone"), OSError(errno.EIO, "hung up"), ValueError("closed")])
def test_a_bar_that_nobody_can_read_stops_no_training(error, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Failing(error))
    trainer = Trainer(small(), total_steps=2, threads=1)
    train(trainer, lambda step: batch(step), 2, evaluate=lambda model, replicas: {"loss": 1.0})
    assert trainer.steps_done == 2


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", *(
    pytest.param(name, marks=deep) for name in ("nonsense", "tkagg", ""))])
def test_the_backend_of_a_notebook_is_not_needed_for_a_picture(backend, tmp_path):
    pytest.importorskip("matplotlib")
    log = Log(tmp_path)
    for step in range(3):
        log.add("train", step, loss=1.0 + step)
    code = "import sys; from tinyalbert.plots import draw_run; draw_run(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "MPLBACKEND": backend},
                          capture_output=True, text=True)
    assert done.stdout.startswith("curves in") and (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG"), done


@given(error=st.sampled_from([OSError(errno.EIO, "broken"), ValueError("x"), MemoryError(), KeyError("axes"),
                              ZeroDivisionError(), UserError("no steps"), RuntimeError("no font")]))
def test_whatever_goes_wrong_with_a_picture_is_only_said(error, tmp_path_factory):
    def fails(*args):
        raise error
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyalbert.plots.plot_run", fails)
        draw_run(tmp_path_factory.mktemp("run"), said.append)
    assert len(said) == 1 and said[0].startswith("no picture: ")


# --- files --------------------------------------------------------------------------------------------------------

@given(old=st.none() | st.binary(max_size=50), parts=st.lists(st.binary(max_size=50), max_size=4), fails=st.booleans(),
       name=st.text("aé漢. -", min_size=1, max_size=80).filter(lambda name: name.strip(". ")), killed=st.booleans())
def test_a_file_is_the_old_one_or_the_new_one(old, parts, fails, name, killed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    path = folder / name
    if old is not None:
        path.write_bytes(old)
    if killed:                                                   # what a process that is no more has left
        ended = subprocess_number()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getpid", lambda: ended)
            patch.setattr(Path, "unlink", lambda *args, **how: None)
            writer = replacing(path)
            writer.__enter__().write(b"half")
            assert not writer.__exit__(KeyError, KeyError(), None)
        assert len(list(folder.iterdir())) == 1 + (old is not None)
    try:
        with replacing(path) as file:
            for part in parts:
                file.write(part)
                assert (path.read_bytes() if path.exists() else None) == old
            if fails:
                raise OSError(errno.ENOSPC, "full")
    except CannotWrite as error:
        assert error.errno == errno.ENOSPC and name in str(error) and "make room" in str(error)
    expected = old if fails else b"".join(parts)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == ({} if expected is None else {name: expected})


def subprocess_number():
    """The number of a process that has ended."""
    if "ended" not in globals():
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        globals()["ended"] = process.pid
    return globals()["ended"]


@posix
@pytest.mark.parametrize("number, refused", [(errno.EIO, True), (errno.ENOSPC, True), (errno.EINVAL, False), (errno.ENOTSUP, False)])
def test_a_file_whose_folder_can_not_be_synced_is_there(number, refused, tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CannotWrite, match="is there, but may not survive") if refused else contextlib.nullcontext():
        with replacing(tmp_path / "file") as file:
            file.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"new"


def test_links_rights_pipes_and_devices_stay_what_they_are(tmp_path):
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    with replacing(link, text=True) as file:
        file.write("new\r\n")
    assert link.is_symlink() and target.read_bytes() == b"new\r\n" and target.stat().st_mode & 0o777 == 0o600
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with replacing(pipe) as file:
        file.write(b"through")
    reader.join()
    assert read == [b"through"] and pipe.is_fifo()
    with replacing("/dev/null") as file:
        file.write(b"gone")
    assert Path("/dev/null").is_char_device()


def test_every_file_of_the_package_is_written_by_the_one_writer():
    """Left out: what grows line by line, and a folder that is moved when it is complete."""
    allowed = {"files/writing.py", "files/taken.py", "training/log.py", "pretraining/shards.py", "cli.py"}
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            modes = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
            if called in ("write_text", "write_bytes", "tofile") or (
                    called == "open" and any(isinstance(m, str) and m[:1] in ("w", "a", "x") for m in modes)):
                found.add(str(path.relative_to(PACKAGE).as_posix()))
    assert found <= allowed


@given(fails=st.lists(st.booleans(), min_size=1, max_size=12))
@settings(max_examples=20)
def test_a_log_that_can_not_be_written_waits_and_stops_nothing(fails, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    log, told = Log(folder), []
    append = log._append

    def sometimes(text):
        if fails[step]:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(text)

    log.begin()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyalbert.training.log.say", told.append)
        patch.setattr(log, "_append", sometimes)
        for step in range(len(fails)):
            log.add("train", step, loss=0.5)
    written = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    last = max((step for step, failed in enumerate(fails) if not failed), default=-1)
    assert written == list(range(last + 1)) and len(told) == any(fails)


@posix
def test_half_a_line_is_taken_back_on_a_disk_that_is_full(tmp_path):
    """A real limit on the size of files, in a process of its own."""
    code = ("import resource, sys; from pathlib import Path; from tinyalbert.training.log import Log\n"
            "log = Log(Path(sys.argv[1])); log.begin(); log.add('train', 1)\n"
            "size = Path(sys.argv[1], 'log.jsonl').stat().st_size\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY)); log.add('train', 2)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY)); log.add('train', 3)\n")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3] and "ulimit -f" in done.stderr


@pytest.mark.parametrize("name", ["EIO", "EFBIG", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "EMFILE", "ENFILE", "ENOMEM",
                                  "EAGAIN", "ESTALE", "EINVAL", "ENODEV"])
@pytest.mark.parametrize("place", [(), ("some/file",)])
def test_every_error_of_the_system_is_a_sentence(name, place, capsys, monkeypatch):
    number = getattr(errno, name)

    def fails(model):
        raise OSError(number, os.strerror(number), *place)
    monkeypatch.setattr("tinyalbert.info.describe", fails)
    assert main(["info", "base_v2"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and os.strerror(number) in said and (not place or "some/file: " in said)
    assert advice_for(OSError(number, os.strerror(number))).endswith(said.strip().split(os.strerror(number))[1])


@posix
@pytest.mark.parametrize("most", [11, *(pytest.param(most, marks=deep) for most in (7, 9, 13))])
def test_too_few_open_files_are_named(most, tmp_path):
    words = [sys.executable, "-m", "tinyalbert", *RUN, "--steps", "2"]
    words[words.index("--workers") + 1] = "3"
    done = subprocess.run(["bash", "-c", f"ulimit -n {most}; {' '.join(words)}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "raise the limit, for example with ulimit -n" in done.stderr, done.stderr


# --- forks, threads, tasks ----------------------------------------------------------------------------------------

@posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@given(n=st.integers(2, 4), parts=st.integers(2, 5))
@settings(max_examples=5)
def test_a_pool_works_on_after_a_fork(n, parts):
    pool = Threads(n)
    assert pool.run(abs, range(parts)) == list(range(parts))
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if pool.run(abs, range(parts)) == list(range(parts)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert pool.run(abs, range(parts)) == list(range(parts))
    pool.close()


@pytest.fixture
def blas_threads():
    """The threads of BLAS are as before at the end."""
    before = [(library, library.get_num_threads()) for library in _blas().lib_controllers]
    yield
    for library, threads in before:
        library.set_num_threads(threads)


@given(order=st.permutations(range(4)))
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@pytest.mark.usefixtures("blas_threads")
def test_overlapping_runs_give_blas_its_threads_back(order):
    def threads():
        return [library["num_threads"] for library in _blas().info() if library["user_api"] == "blas"]
    for library in _blas().lib_controllers:
        library.set_num_threads(2)
    before = threads()
    go = [threading.Event() for _ in order]
    inside = threading.Barrier(len(order) + 1)

    def run(i):
        Threads(1).run(lambda part: (inside.wait(20), go[i].wait(20)), [0])
    running = [threading.Thread(target=run, args=[i]) for i in order]
    for thread in running:
        thread.start()
    inside.wait(20)
    for i in order:
        assert set(threads()) <= {1}
        go[i].set()
        running[order.index(i)].join()
    assert threads() == before


def test_switches_belong_to_a_task():
    seen = {}

    async def task(name, context, recording, kernels):
        with context():
            for _ in range(3):
                await asyncio.sleep(0)
                seen.setdefault(name, []).append((mode.recording, mode.kernels) == (recording, kernels))

    async def tasks():
        await asyncio.gather(task("a", no_grad, False, True), task("b", lambda: use_kernels(False), True, False),
                             task("c", lambda: use_kernels(True), True, True))
        return mode.recording, mode.kernels
    assert asyncio.run(tasks()) == (True, True) and mode.recording and mode.kernels
    assert seen == {name: [True] * 3 for name in "abc"}


def test_a_model_is_read_between_its_steps_or_not_at_all():
    """While one thread trains, another gets right answers or a refusal, and the training does not change."""
    model, same = small(), small()
    trainer = Trainer(model, lr=0.05, total_steps=20, threads=2)
    answers, refused, after = [], [], [small().state_dict()]
    stop = threading.Event()
    ids = batch(9)["input_ids"]

    def read():
        while not stop.is_set():
            try:
                model.eval()
                with no_grad():
                    answers.append(model(ids).logits.data.copy())
            except UserError as error:
                refused.append(str(error))
            time.sleep(0.001)
    reader = threading.Thread(target=read)
    reader.start()
    for step in range(20):
        trainer.step(batch(step))
        after.append({name: a.copy() for name, a in model.state_dict().items()})
        time.sleep(0.002)
    stop.set()
    reader.join()

    alone = Trainer(same, lr=0.05, total_steps=20, threads=2)
    for step in range(20):
        alone.step(batch(step))
    assert all(np.array_equal(a, b) for a, b in zip(model.state_dict().values(), same.state_dict().values()))
    assert all("training" in said for said in refused)
    possible = []
    for state in after:
        same.load_state_dict(state)
        with no_grad():
            possible.append(same.eval()(ids).logits.data)
    assert all(any(np.allclose(answer, right, atol=1e-6) for right in possible) for answer in answers)


def test_a_step_under_way_refuses_whoever_else_reads_or_trains():
    model = small()
    early = model.eval()(**batch())
    trainer = Trainer(model, threads=1)
    with model.turns.changing():
        heard = []

        def other():
            ids = batch()["input_ids"]
            hidden = np.ones((1, 3, 16), np.float32)
            for act in (lambda: model(ids), lambda: trainer.step(batch()), lambda: model.albert(ids), lambda: early.logits,
                        lambda: model.albert.encode(ids, None, None), lambda: model.albert.embeddings(ids),
                        lambda: model.albert.encoder.layers()[0](Tensor(hidden)), lambda: model.predictions.dense(hidden),
                        lambda: Trainer(model.albert, threads=1).step(batch())):
                with pytest.raises(UserError, match="training"):
                    act()
                heard.append(act)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert len(heard) == 9
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.turns is None or twin.turns is not model.turns and twin.turns.number == 0
    assert model.eval()(batch()["input_ids"]).logits.shape == (4, 8, 50)


# --- the suite ----------------------------------------------------------------------------------------------------

@posix
@deep
def test_a_sample_of_the_suite_of_faults():
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "faults.py"), "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
