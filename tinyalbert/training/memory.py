"""Settings of the C library's memory allocator that suit a training loop."""

import ctypes


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
