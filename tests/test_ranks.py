"""Several processes under a real mpiexec: the same training as one process, and a job that never hangs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tinyalbert.files.checkpoint import load_state

pytest.importorskip("mpi4py", reason="needs mpi4py: pip install 'tinyalbert[mpi]'")
MPIEXEC = Path(sys.executable).with_name("mpiexec")
pytestmark = [pytest.mark.skipif(not MPIEXEC.exists(), reason="needs mpiexec beside python: pip install mpich"),
              pytest.mark.skipif("config.getoption('--backend') != 'numpy'", reason="starts processes of its own")]
PRETRAIN = ["pretrain", "stories:60", "--preset", "tiny", "--vocab-size", "500", "--stages", "--max-length", "32"]
QUIET = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


def start(n, *command, cwd):
    """mpiexec -n `n` python `command`, running."""
    return subprocess.Popen([MPIEXEC, "-n", str(n), sys.executable, *map(str, command)], cwd=cwd, env=QUIET, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(job):
    """(exit code, stdout, stderr) of a job; one that hangs is a failure."""
    try:
        out, err = job.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        job.kill()
        raise
    return job.returncode, out, err


def tinyalbert(n, *command, cwd):
    return finish(start(n, "-m", "tinyalbert", *command, cwd=cwd))


def log(folder, kind):
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def test_two_processes_add_up(tmp_path):
    program = """if True:
        import numpy as np
        from tinyalbert.training.replicas import launched_ranks
        ranks = launched_ranks()
        flat = np.arange(5, dtype=np.float32) * (ranks.rank + 1)
        ranks.all_reduce(flat)
        ranks.barrier()
        assert ranks.size == 2 and flat.tolist() == [0, 3, 6, 9, 12], (ranks.size, flat)
        print("ok")
    """
    code, out, err = finish(start(2, "-c", program, cwd=tmp_path))
    assert code == 0 and out.count("ok") == 2, err


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder with 50 steps of pretraining in one process, on one thread."""
    folder = tmp_path_factory.mktemp("ranks")
    code, out, err = tinyalbert(1, *PRETRAIN, "--steps", "50", "--threads", "1", "--output", "alone", cwd=folder)
    assert code == 0, err
    return folder


@pytest.mark.parametrize("ranks, threads, micro_batches", [(1, 3, 1), (2, 1, 1), (3, 2, 1), (2, 1, 2)])
def test_losses_are_those_of_one_process(alone, tmp_path, ranks, threads, micro_batches):
    """The same global batch and seed: equal to float32's rounding, step after step, evaluations included."""
    code, out, err = tinyalbert(ranks, "pretrain", alone / "alone" / "data", *PRETRAIN[2:], "--steps", "50", "--threads",
                                threads, "--accumulation", micro_batches, "--output", "run", cwd=tmp_path)
    assert code == 0, err
    assert out.count("held out:") == 1                         # one process speaks for all
    assert_same_log(tmp_path / "run", alone / "alone", 5)


def test_a_large_batch_with_lamb_is_that_of_one_process(alone, tmp_path):
    """As the paper's batch of 4096 would be put together: processes, threads and micro-batches at once."""
    command = ["pretrain", alone / "alone" / "data", *PRETRAIN[2:], "--optimizer", "lamb", "--batch-size", "96", "--steps", "20"]
    for name, ranks, more in (("one", 1, ["--threads", "1"]), ("many", 2, ["--threads", "2", "--accumulation", "2"])):
        code, out, err = tinyalbert(ranks, *command, *more, "--output", name, cwd=tmp_path)
        assert code == 0, err
    assert_same_log(tmp_path / "many", tmp_path / "one", 2)


def assert_same_log(ours, theirs, lines):
    for kind in ("train", "eval"):
        pairs = list(zip(log(ours, kind), log(theirs, kind), strict=True))
        assert len(pairs) >= lines
        for a, b in pairs:
            for name in ("loss", "mlm_loss", "sop_loss", "grad_norm", "tokens"):
                if name in b:
                    assert a[name] == pytest.approx(b[name], rel=1e-5 if "loss" in name else 1e-3), (a["step"], name)


def test_a_killed_process_ends_the_job_and_loses_nothing_saved(alone, tmp_path):
    """kill -9 of one of two; resumed by three processes, the run ends where an undisturbed one does."""
    data = alone / "alone" / "data"
    options = [*PRETRAIN[2:], "--steps", "400", "--save-every", "10", "--threads", "1"]
    job = start(2, "-m", "tinyalbert", "pretrain", data, *options, "--output", "run", cwd=tmp_path)
    state = tmp_path / "run" / "last" / "training_state.safetensors"
    for _ in range(600):
        if state.exists() or job.poll() is not None:
            break
        time.sleep(0.05)
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()        # mpiexec's own helper
    ranks = Path(f"/proc/{children[0]}/task/{children[0]}/children").read_text().split()
    assert len(ranks) == 2
    os.kill(int(ranks[1]), signal.SIGKILL)
    code, out, err = finish(job)
    assert code != 0 and "signal 9" in out + err
    saved = log(tmp_path / "run", "train")[-1]["step"]
    assert 10 <= saved < 400 and all(np.isfinite(a).all() for a in load_state(state.parent.parent / "last").values())
    code, out, err = tinyalbert(3, "pretrain", "--resume", "--output", "run", cwd=tmp_path)
    assert code == 0 and "resumed with ranks 3; the run had 2" in err, err
    assert tinyalbert(1, "pretrain", data, *options, "--output", "whole", cwd=tmp_path)[0] == 0
    ours, theirs = (log(tmp_path / name, "eval")[-1] for name in ("run", "whole"))
    assert ours["step"] == theirs["step"] == 400
    assert ours["mlm_loss"] == pytest.approx(theirs["mlm_loss"], rel=1e-3)
    steps = [line["step"] for line in log(tmp_path / "run", "train")]
    assert steps == sorted(set(steps))                         # no step is logged twice


def test_fine_tuning_is_that_of_one_process(alone, tmp_path):
    command = ["finetune", "stories:topic:60", "--model", alone / "alone", "--epochs", "1", "--threads", "1"]
    scores = []
    for n in (1, 2):
        code, out, err = tinyalbert(n, *command, "--output", f"n{n}", cwd=tmp_path)
        assert code == 0 and out.count("predictions and eval_results.json") == 1, err
        scores.append([line["loss"] for line in log(tmp_path / f"n{n}", "train")])
        assert (tmp_path / f"n{n}" / "predictions.tsv").read_text().count("\n") == 7
    assert scores[1] == pytest.approx(scores[0], rel=1e-4)


def test_a_mistake_is_told_once_and_ends_the_job(tmp_path):
    """Only the first process looks for the text, while the other waits for it."""
    code, out, err = tinyalbert(2, "pretrain", "nowhere.txt", "--output", "run", cwd=tmp_path)
    assert code == 2 and (out + err).count("nowhere.txt") == 1 and "Traceback" not in err
    code, out, err = tinyalbert(2, "pretrain", "--resume", "--output", "run", cwd=tmp_path)       # both notice
    assert code == 2 and (out + err).count("tinyalbert: ") == 1


@pytest.mark.parametrize("error, code, words", [("UserError('no more paper')", 2, ["process 1 of 2", "no more paper"]),
                                                ("KeyError('x')", 1, ["process 1 of 2", "Traceback", "KeyError"])])
def test_an_error_of_one_process_ends_the_job(tmp_path, error, code, words):
    program = f"""if True:
        from dataclasses import replace
        from tinyalbert import UserError, cli
        from tinyalbert.training.replicas import launched_ranks
        def work(*_, **__):
            ranks = launched_ranks()
            if ranks.rank == 1:
                raise {error}
            ranks.barrier()
            ranks.barrier()
        cli.COMMANDS["doctor"] = replace(cli.COMMANDS["doctor"], run=work)
        cli.main(["doctor"])
    """
    got, out, err = finish(start(2, "-c", program, cwd=tmp_path))
    assert got == code and all(word in err for word in words), (got, out, err)
