"""What a training step needs of memory, and an allocator that suits it."""

import ctypes
import functools
import os
from pathlib import Path

from ..errors import UserError

GIB = 2**30
CONTAINER = Path("/sys/fs/cgroup/memory.max")  # of Linux's cgroups, version 2


def least_memory(config, rows, length, bytes_each=4):
    """Bytes that a step keeps for its backward pass, at the least.

    rows, each of `length` tokens.  Of each token, in each layer: two vectors of the feed-forward
    half's width, four of the hidden width (queries, keys, values, what attention gives), and a
    score for each head and token that it looks at.
    """
    numbers = 2 * config.intermediate_size + 4 * config.hidden_size
    numbers += config.num_attention_heads * length
    return rows * length * config.num_hidden_layers * numbers * bytes_each


@functools.cache
def memory_here():
    """Bytes of memory that this machine, or the container, has; infinity where it is unknown."""
    sizes = [float("inf")]
    try:
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, AttributeError, OSError):
        pass  # not a POSIX system
    try:
        sizes.append(int(CONTAINER.read_text()))
    except (ValueError, OSError):
        pass  # "max", or no container
    return min(sizes)


def check_room(config, rows, length, bytes_each=4, batch_size=None):
    """Refuse a batch of so many rows, each of so many tokens, whose step has no room in memory.

    Linux would let it begin, and end the process without a word when memory runs out.
    batch_size: what was asked for, if that is not the number of rows.
    """
    needed, there = least_memory(config, rows, length, bytes_each), memory_here()
    if needed > there:
        fit = max(1, int((batch_size or rows) * there / needed / 3))  # a step takes some more
        raise UserError(
            f"a step on {rows:,} rows of {length} tokens keeps at least "
            f"{needed / GIB:,.0f} GiB for its backward pass, and this machine has "
            f"{there / GIB:.1f}; choose a smaller batch (--batch-size {fit})"
        )


def keep_freed_memory():
    """Ask glibc to keep freed blocks instead of giving the pages back after every step.

    A training step frees and asks for the same large arrays again; with the default settings the
    kernel zeroes fresh pages each time, which costs a tenth of the step or more.  Elsewhere than on
    Linux with glibc nothing is done.  Returns whether it was.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
        settings = (
            (M_MMAP_MAX, 0),
            (M_TRIM_THRESHOLD, -1),
            (M_TOP_PAD, 64 << 20),
            (M_ARENA_MAX, 1),
        )
        return all(libc.mallopt(key, value) for key, value in settings)
    except (OSError, AttributeError):
        return False
