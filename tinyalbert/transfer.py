"""Copies whole batches to a GPU, all arrays at once, while the GPU still computes the last one."""

import functools
import sys

import numpy as np

from .backend import check_device, to_device


def to_device_together(arrays, device):
    """Several arrays (or None) on "cpu" or "gpu"; those that go to a GPU go as one copy."""
    sent = []  # places of the arrays that have to go to the GPU
    if check_device(device) == "gpu":
        sent = [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray)]
    if not sent:
        return [a if a is None else to_device(a, device) for a in arrays]
    sizes = [arrays[i].nbytes + -arrays[i].nbytes % 8 for i in sent]  # up to multiples of 8 bytes
    starts = np.cumsum([0] + sizes).tolist()
    there = _sender(sys.modules["cupy"]).send([arrays[i] for i in sent], starts)
    result = list(arrays)
    for i, start in zip(sent, starts):
        a = arrays[i]
        result[i] = there[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    return result


class Sender:
    """Sends batches from page-locked memory on a stream of its own; the processor never waits.

    A slot is page-locked memory on the host and as much on the device.  It is used again once the
    GPU has passed the event `free`, recorded after its last use; if no slot is free, one is added.
    """

    def __init__(self, cupy):
        self.cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.slots = []

    def send(self, arrays, starts):
        """NumPy arrays, each to lie from its start on (bytes) -> uint8 (starts[-1],) on the GPU."""
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
        sent = slot["there"][:size].copy()
        slot["free"] = work.record()
        return sent


_sender = functools.cache(Sender)  # one for each CuPy, of which there is one
