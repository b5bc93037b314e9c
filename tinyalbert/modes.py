"""Switches of each thread and task: whether ops record, which fast versions run, in what precision.

Replicas run forward and backward passes side by side, so each thread has switches of its own, and
each task of asyncio, of which many take turns in one thread.  They are set for the length of a
`with` block; `snapshot` and `adopt` carry them into a worker thread.
"""

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Switches:
    """The values of all switches."""

    recording: bool = True  # ops keep what the backward pass needs
    kernels: bool = True  # the fused versions of kernels/ run in place of the plain ops
    readout: bool = True  # head models compute only what their loss reads (readout.py)
    precision: object = None  # the precision.Precision of the step, if it is not float32
    products: str | None = None  # the library that multiplies on the CPU; see products/
    one_thread: bool = False  # a library may not start threads: others compute beside this one
    step: object = None  # the nn.Turns of the model that this is a step of training of
    place: object = None  # where a step that is captured finds its batch (training/captured.py)


_usual = Switches()
_switches = ContextVar("switches", default=_usual)


class Mode:
    """The switches of the thread or task that reads them."""

    recording = property(lambda self: _switches.get().recording)
    kernels = property(lambda self: _switches.get().kernels)
    readout = property(lambda self: _switches.get().readout)
    precision = property(lambda self: _switches.get().precision)
    products = property(lambda self: _switches.get().products)
    one_thread = property(lambda self: _switches.get().one_thread)
    step = property(lambda self: _switches.get().step)
    place = property(lambda self: _switches.get().place)

    def snapshot(self):
        """The Switches of this thread or task."""
        return _switches.get()

    def adopt(self, switches):
        """Set the switches of this thread or task to a snapshot of another's."""
        _switches.set(switches)


mode = Mode()


@contextlib.contextmanager
def _switched(**changes):
    now = _switches.get()
    before = {name: getattr(now, name) for name in changes}
    _switches.set(replace(now, **changes))
    try:
        yield
    finally:
        _switches.set(replace(_switches.get(), **before))


def no_grad():
    """Context in which ops record nothing: evaluation and prediction need no backward pass."""
    return _switched(recording=False)


def use_kernels(on):
    """Context in which the fused kernels run (True) or only the plain ops (False)."""
    return _switched(kernels=on)


def use_readout(on):
    """Context in which head models compute what their loss reads (True) or all tokens (False)."""
    return _switched(readout=on)


def use_precision(precision):
    """Context in which every op runs through `precision.run`; None is plain float32."""
    return _switched(precision=precision)


def use_products(name):
    """Context in which this library of products/ multiplies; None: that of the environment."""
    return _switched(products=name)


def use_one_thread():
    """Context in which a library of products/ starts no threads of its own."""
    return _switched(one_thread=True)


def use_step(turns):
    """Context of a step of training; turns: the nn.Turns of its model."""
    return _switched(step=turns)


def use_place(place):
    """Context in which batches are not sent but taken from `place`, in sizes that stay the same."""
    return _switched(place=place)
