"""A clean end on Ctrl-C and SIGTERM."""

import contextlib
import signal
import threading

import numpy as np


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after the checkpoint was written; the message says how to resume."""


@contextlib.contextmanager
def stop_signals():
    """A list that gets an entry on Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""
    received = []

    def note(number, frame):
        received.append(number)
        signal.signal(number, signal.default_int_handler)

    # only the main thread may set handlers
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def any_process(ranks, received):
    """Whether this or any other process was told to stop, so that all stop at the same step."""
    told = np.array([float(bool(received))])
    ranks.all_reduce(told)
    return told[0] > 0
