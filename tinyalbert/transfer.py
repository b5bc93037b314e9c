"""Copies whole batches to a GPU, all arrays at once, while the GPU still computes the last one."""

import functools
import sys

import numpy as np

from .backend import check_device, to_device
from .modes import mode


def to_device_together(arrays, device):
    """Several arrays (or None) on "cpu" or "gpu"; those that go to a GPU go as one copy."""
    if mode.place is not None:
        return mode.place.take(arrays)
    sent = []  # places of the arrays that have to go to the GPU
    if check_device(device) == "gpu":
        sent = [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray)]
    if not sent:
        return [a if a is None else to_device(a, device) for a in arrays]
    packed = [arrays[i] for i in sent]
    starts = starts_of(packed)
    there = sender().send(packed, starts)
    result = list(arrays)
    for i, view in zip(sent, views_of(there, packed, starts)):
        result[i] = view
    return result


def starts_of(arrays):
    """Where each array begins when they lie one after the other, in bytes, and where the last ends.

    Each begins at a multiple of 8.
    """
    return np.cumsum([0] + [a.nbytes + -a.nbytes % 8 for a in arrays]).tolist()


def views_of(there, arrays, starts):
    """Arrays on the device, of the types and shapes of `arrays`, in the bytes `there`."""
    return [
        there[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
        for a, start in zip(arrays, starts)
    ]


class Sender:
    """Sends batches from page-locked memory on a stream of its own; the processor never waits.

    A slot is page-locked memory on the host and as much on the device.  It is used again once the
    GPU has passed the event `free`, recorded after its last use; if no slot is free, one is added.
    """

    def __init__(self, cupy):
        self.cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.slots = []

    def send(self, arrays, starts, into=None):
        """NumPy arrays, each to lie from its start on (bytes) -> uint8 (starts[-1],) on the GPU.

        into: an array there for them, in place of a new one.
        """
        size = starts[-1]
        work = self.cupy.cuda.get_current_stream()
        slot = next((s for s in self.slots if s["host"].size >= size and s["free"].done), None)
        if slot is None:
            from cupyx import empty_pinned

            room = 1 << max(16, (size - 1).bit_length())
            slot = {
                "host": empty_pinned((room,), dtype=np.uint8),
                "there": self.cupy.empty((room,), dtype=np.uint8),
            }
            self.slots.append(slot)
            # the new memory may be what unfinished work has let go
            self.stream.wait_event(work.record())
        for a, start in zip(arrays, starts):
            slot["host"][start : start + a.nbytes] = np.frombuffer(a.tobytes(), dtype=np.uint8)
        slot["there"][:size].set(slot["host"][:size], stream=self.stream)
        work.wait_event(self.stream.record())  # the GPU waits for the copy, not the processor
        if into is None:
            into = self.cupy.empty((size,), dtype=np.uint8)
        into[...] = slot["there"][:size]
        slot["free"] = work.record()
        return into


_sender = functools.cache(Sender)  # one for each CuPy, of which there is one


def sender():
    """The Sender of this process."""
    return _sender(sys.modules["cupy"])
