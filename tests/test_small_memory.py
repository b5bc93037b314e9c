"""On 256 MB and one thread: inference of base-v2, training of preset tiny.

The limit is RLIMIT_DATA, what a process may have of memory of its own to write to; thread stacks and what NumPy reserves
count in full.  (RLIMIT_AS would also count addresses that the C library sets aside for each thread and never uses.)
"""

import io
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyalbert import AlbertConfig, AlbertForPreTraining
from tinyalbert.pretraining.preparation import train_tokenizer
from tinyalbert.pretraining.shards import prepare
from tinyalbert.strict_json import read_at_most
from tinyalbert.text.tokenizer import AlbertTokenizer

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
LIMIT = 256 << 20
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
from tinyalbert.cli import main
code = main(sys.argv[2:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""
small = pytest.mark.skipif(not (DEEP and sys.platform.startswith("linux")),
                           reason="takes seconds, and a limit that Linux keeps: HYPOTHESIS_PROFILE=deep")


def run(words, limit=LIMIT):
    done = subprocess.run([sys.executable, "-c", LIMITED, str(limit), *words], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    return done.returncode, done.stdout + done.stderr


def peak_of(text):
    """Bytes of the largest resident set."""
    return 1024 * int(re.search(r"^peak (\d+)$", text, re.M)[1])


@small
def test_base_v2_fills_a_mask(tmp_path, data_dir):
    tokenizer = AlbertTokenizer.from_pretrained(data_dir / "spiece.model")
    AlbertForPreTraining(AlbertConfig.preset("base_v2"), seed=0).save_pretrained(tmp_path, tokenizer=tokenizer)
    text = "The old [MASK] waited at the station. " + "It rained on the roofs all day long. " * 12      # about 120 pieces
    code, said = run(["fill-mask", str(tmp_path), text])
    assert code == 0 and said.count("%") == 5, said
    assert 100e6 < peak_of(said) < LIMIT


@small
def test_a_tiny_model_is_trained(tmp_path):
    tokenizer = train_tokenizer(["stories:2000"], 1500, tmp_path / "tokenizer", progress=False)
    prepare(["stories:2000"], tokenizer, tmp_path / "data", workers=1, progress=False)
    words = f"pretrain {tmp_path / 'data'} --preset tiny --steps 5 --threads 1 --output {tmp_path / 'model'}".split()
    code, said = run(words)
    assert code == 0 and "held out: masked words" in said, said
    assert peak_of(said) < LIMIT
    code, said = run([*words[:-1], str(tmp_path / "other")], limit=80 << 20)
    assert code != 0 and "emory" in said, said        # the limit is one; who notices it first, OpenBLAS or we, is the machine's


class Counting(io.BytesIO):
    """A file that notes what it was asked for."""

    asked = 0

    def read(self, size=-1):
        self.asked = max(self.asked, size)
        return super().read(size)


@given(size=st.integers(0, 40), most=st.integers(0, 40))
def test_a_small_file_takes_little_memory_to_read(size, most):
    """file.read(n) sets n bytes aside at once: 64 MiB for a config.json."""
    file = Counting(b"x" * size)
    assert read_at_most(file, most) == b"x" * min(size, most)
    file = Counting(b"x" * size)
    assert read_at_most(file, 1 << 40) == b"x" * size and file.asked <= 1 << 20
