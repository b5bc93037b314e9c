"""Switches of each thread: whether ops record, which fast versions run, in what precision.

Replicas run forward and backward passes side by side, so each thread has switches of its own.  They
are set for the length of a `with` block; `snapshot` and `adopt` carry them into a worker thread.
"""

import contextlib
import threading


class Mode(threading.local):
    """The switches; each thread reads and writes its own."""

    recording = True  # ops keep what the backward pass needs
    kernels = True  # the fused versions of kernels/ run in place of the plain ops
    readout = True  # head models compute only what their loss reads (readout.py)
    precision = None  # the precision.Precision of the step, if it is not float32

    def snapshot(self):
        """The switches of this thread: {name: value}."""
        return {
            name: getattr(self, name) for name in ("recording", "kernels", "readout", "precision")
        }

    def adopt(self, switches):
        """Set the switches of this thread to a snapshot of another's."""
        for name, value in switches.items():
            setattr(self, name, value)


mode = Mode()


@contextlib.contextmanager
def _switched(name, value):
    before = getattr(mode, name)
    setattr(mode, name, value)
    try:
        yield
    finally:
        setattr(mode, name, before)


def no_grad():
    """Context in which ops record nothing: evaluation and prediction need no backward pass."""
    return _switched("recording", False)


def use_kernels(on):
    """Context in which the fused kernels run (True) or only the plain ops (False)."""
    return _switched("kernels", on)


def use_readout(on):
    """Context in which head models compute what their loss reads (True) or all tokens (False)."""
    return _switched("readout", on)


def use_precision(precision):
    """Context in which every op runs through `precision.run`; None is plain float32."""
    return _switched("precision", precision)
