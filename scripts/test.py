#!/usr/bin/env python3
"""Run the tests: makes .venv, installs what they need, and runs them.

python3 scripts/test.py           the whole suite on NumPy, most lessons with their solutions (minutes)
python3 scripts/test.py --all     also every lesson untouched and with wrong answers, the suite on the fake
                                  device, the real CuPy on the CPU, the deep profile of the gradient
                                  checks, kills and other faults, the explorer page in a real browser
python3 scripts/test.py --parity  comparisons with PyTorch, transformers 4 and 5, and TensorFlow (installs them: large)
python3 scripts/test.py tests/test_ops.py -k gelu      one file or one test, as pytest takes them
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time

import environment

# Text and tables: seen to ask for no device.
NOT_ON_A_DEVICE = [
    f"--ignore=tests/test_{name}.py"
    for name in (
        "corpus",
        "masking",
        "pairs",
        "shards",
        "stories",
        "python_text",
        "tokenizer",
        "tables",
        "config",
        "reading_order",
        "notebooks",
        "faults",
        "folders",
        "fuzz",
        "hostile_files",
        "judge",
        "linear_time",
        "plain_text",
        "read_back",
        "slides",
        "words",
        "strict_json",
        "wheels",
    )
]
BROWSER = ["tests/test_explore_browser.py", "tests/test_slides_browser.py"]
# What runs without --all: the lessons with their solutions, but for those that train for long.
ONCE = (
    "not test_untouched and not test_typical_mistakes and not (test_with_its_solutions and "
    "(19_what or 23_beyond or 24_small or 25_train))"
)
# What has cases for the deep profile alone: whole processes, long texts, lessons in Jupyter.
SLOW = [
    f"tests/test_{name}.py"
    for name in (
        "ablation",
        "board",
        "folders",
        "faults",
        "linear_time",
        "small_memory",
        "every_task",
        "notebooks",
    )
]
# What opens our folders in transformers and theirs here, as both of its versions in use do it.
ON_TRANSFORMERS_5 = ["tests/test_parity_folders.py", "tests/test_parity_transformers.py"]
# What computes with ops.  Left out besides: what reads and writes files, and test_training, since
# test_devices trains on the device itself and this would take four minutes more.
ON_CUPY = [
    f"tests/test_{name}.py"
    for name in (
        "devices",
        "ops",
        "gradcheck",
        "tensor",
        "kernels",
        "gpu_kernels",
        "graphs",
        "precision",
        "nn",
        "attention",
        "albert",
        "heads",
        "optim",
        "parallel",
        "batches",
        "backend",
    )
]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="everything that needs no GPU (under 40 minutes on 2 cores)",
    )
    parser.add_argument(
        "--parity", action="store_true", help="compare with PyTorch, transformers and TensorFlow"
    )
    options, rest = parser.parse_known_args()
    more = (["parity"] if options.parity else []) + (
        ["browser", "notebooks"] if options.all else []
    )
    environment.enter(["test", *more])

    root = environment.ROOT
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # test workers run side by side

    def run(name, *command, python=sys.executable, **more):
        start = time.perf_counter()
        print(f"\n=== {name}", flush=True)
        code = subprocess.run(
            [str(python), "-m", *command], cwd=root, env={**os.environ, **more}
        ).returncode
        stages.append((name, code, time.perf_counter() - start))

    stages = []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    pytest = (
        "pytest",
        "-n",
        str(cores),
        "--dist",
        "worksteal",
    )  # the lessons are long and stand together
    if rest:
        run("pytest", "pytest", *rest)
    elif options.parity:
        run("parity with PyTorch and transformers 4", *pytest, "tests", "-m", "parity")
        python = environment.make(root / ".venv-transformers5", ["transformers5"])
        run(
            "parity with transformers 5", *pytest, *ON_TRANSFORMERS_5, "-m", "parity", python=python
        )
        if (sys.platform, platform.machine()) == ("linux", "x86_64") and sys.version_info < (3, 14):
            python = environment.make(
                root / ".venv-tensorflow", ["tensorflow"]
            )  # apart: transformers would import it
            run(
                "parity with TensorFlow",
                *pytest,
                "tests/test_tf_checkpoint.py",
                "-m",
                "parity",
                python=python,
            )
        else:
            print(
                "\n=== parity with TensorFlow: skipped, tensorflow-cpu is for Linux on x86-64, "
                "Python 3.11 to 3.13"
            )
    else:
        run("lint", "ruff", "check", "tinyalbert", "tests", "scripts", "lessons")
        run("format", "ruff", "format", "--check", "--quiet", "tinyalbert", "scripts")
        once = [] if options.all else ["-k", ONCE]
        run(
            "tests",
            *pytest,
            "tests",
            *[f"--ignore={path}" for path in BROWSER],
            *once,
            HYPOTHESIS_PROFILE="ci",
        )
    if options.all:
        run(
            "gradient checks, deep profile", *pytest, "tests/test_ops.py", HYPOTHESIS_PROFILE="deep"
        )
        run("faults and long texts", *pytest, *SLOW, HYPOTHESIS_PROFILE="deep")
        run(
            "tests on the fake device",
            *pytest,
            "tests",
            *NOT_ON_A_DEVICE,
            *[f"--ignore={path}" for path in BROWSER],
            "--backend",
            "fakecupy",
            HYPOTHESIS_PROFILE="ci",
        )
        if sys.platform.startswith("linux") and shutil.which("g++") and shutil.which("gcc"):
            python = environment.make(
                root / ".venv-hostcupy", ["hostcupy"]
            )  # apart: CuPy changes what is found
            run(
                "the real CuPy on the CPU",
                *pytest,
                "--backend",
                "hostcupy",
                *ON_CUPY,
                python=python,
                HYPOTHESIS_PROFILE="ci",
            )
        else:
            print(
                "\n=== the real CuPy on the CPU: it needs Linux and g++ (Debian, Ubuntu: apt "
                "install g++)"
            )
            stages.append(("the real CuPy on the CPU", 1 if "CI" in os.environ else None, 0))
        if shutil.which("chromium") and shutil.which("chromedriver"):
            run("the explorer and slides in a browser", "pytest", *BROWSER)
        else:
            print(
                "\n=== the explorer and slides in a browser: it needs Chromium and its driver (Debian, Ubuntu: "
                "apt install chromium chromium-driver)"
            )
            stages.append(
                ("the explorer and slides in a browser", 1 if "CI" in os.environ else None, 0)
            )
    print()
    for name, code, seconds in stages:
        print(
            f"{'skipped' if code is None else 'FAILED' if code else 'passed':8s}{name:42s}{seconds:7.0f} s"
        )
    failed = [name for name, code, _ in stages if code]
    print("all passed" if not failed else f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
