"""Copies of whole batches to a GPU: one copy for all arrays, while the GPU is still at work on the
last batch.
"""

import functools
import sys

import numpy as np

from .backend import check_device, to_device


def to_device_together(arrays, device):
    """Several arrays (or None) on "cpu" or "gpu"; to a GPU they go as one copy, since each copy has
    its price.
    """
    sent = (
        [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray)]
        if check_device(device) == "gpu"
        else []
    )
    if not sent:
        return [a if a is None else to_device(a, device) for a in arrays]
    starts = np.cumsum(
        [0] + [arrays[i].nbytes + -arrays[i].nbytes % 8 for i in sent]
    ).tolist()  # multiples of 8
    there, result = (
        _sender(sys.modules["cupy"]).send([arrays[i] for i in sent], starts),
        list(arrays),
    )
    for i, start in zip(sent, starts):
        a = arrays[i]
        result[i] = there[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    return result


class Sender:
    """Sends batches to the GPU while it is at work on the last one: from page-locked memory, on a
    stream of its own.

    Nothing is waited for.  A slot, page-locked memory here and as much over there, is used again
    when the GPU has passed the mark `free`, behind its last use; while none is, another is made.
    """

    def __init__(self, cupy):
        self.cupy, self.stream, self.slots = cupy, cupy.cuda.Stream(non_blocking=True), []

    def send(self, arrays, starts):
        """NumPy arrays, each to lie from its start on (in bytes) -> uint8 (starts[-1],) over
        there.
        """
        size, work = starts[-1], self.cupy.cuda.get_current_stream()
        slot = next((s for s in self.slots if s["host"].size >= size and s["free"].done), None)
        if slot is None:
            from cupyx import empty_pinned

            room = 1 << max(16, (size - 1).bit_length())
            slot = {
                "host": empty_pinned((room,), dtype=np.uint8),
                "there": self.cupy.empty((room,), dtype=np.uint8),
            }
            self.slots.append(slot)
            self.stream.wait_event(
                work.record()
            )  # the memory may be what unfinished work has let go
        for a, start in zip(arrays, starts):
            slot["host"][start : start + a.nbytes] = np.frombuffer(a.tobytes(), dtype=np.uint8)
        slot["there"][:size].set(slot["host"][:size], stream=self.stream)
        work.wait_event(
            self.stream.record()
        )  # the GPU's work waits for the copy, not the processor
        sent = slot["there"][:size].copy()
        slot["free"] = work.record()
        return sent


_sender = functools.cache(Sender)  # one for each CuPy, of which there is one
