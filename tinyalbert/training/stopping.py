"""A clean end on Ctrl-C, SIGTERM and SIGHUP."""

import contextlib
import signal
import threading

import numpy as np

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Interrupted(KeyboardInterrupt):
    """A signal stopped the run after the checkpoint was written; the message says how to resume.

    signal: its number; SIGINT where another process received it.
    """

    def __init__(self, message, received=()):
        super().__init__(message)
        self.signal = next(iter(received), signal.SIGINT)


def signals():
    """Numbers of the signals that ask a process to end, without those that it ignores.

    nohup lets a process ignore SIGHUP, a shell's `&` Ctrl-C.
    """
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    foreign = (signal.SIG_IGN, None)  # None: not set from Python
    return [number for number in numbers if signal.getsignal(number) not in foreign]


@contextlib.contextmanager
def stop_signals():
    """A list that gets the number of the signal that asks for the end.

    The next one does what it did before: it interrupts at once.
    """
    received = []

    def note(number, frame):
        received.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    # only the main thread may set handlers
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in signals()}
    for number in before:
        signal.signal(number, note)
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
