"""What the processor can do with 16-bit and 8-bit numbers, as Linux tells it."""

import functools
from pathlib import Path

UNITS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}  # Linux's name: ours; fastest first


@functools.cache
def about(path="/proc/cpuinfo"):
    """{key: value} of the first processor; {} where there is no such file."""
    try:
        first = Path(path).read_text(errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def sixteen_bit_units():
    """Our names of what multiplies bfloat16 in this processor, fastest first; [] if nothing."""
    flags = about().get("flags", "").split()
    return [name for flag, name in UNITS.items() if flag in flags]


def is_intel():
    """Whether the processor is Intel's."""
    return about().get("vendor_id") == "GenuineIntel"


def model_name():
    """The processor's name, or "this processor"."""
    return about().get("model name", "this processor")
