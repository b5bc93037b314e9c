"""CUDA graphs: what the processor tells the GPU in a step, noted once, then started by one call.

A GPU step of a small model takes Python longer than the GPU: some hundred launches, one after the
other.  While a stream is captured, nothing is computed: each launch, with its arguments, becomes a
node of a graph.  `Graph.launch` then runs all of them.  So in a replay every address, shape and
number is the one that was captured; what changes from step to step has to lie in memory.

What a captured function has to keep to:

  - It changes no Python state: it runs once for the capture, and never for a replay.
  - It copies nothing from or to the host and waits for nothing: CuPy and CUDA refuse it.
  - What it leaves behind goes into arrays that were there before.  All that it allocates comes from
    a pool that belongs to the graphs, and a later replay writes to that memory again.
"""

import collections
import contextlib
import dataclasses

from . import cublas

MOST = 8  # graphs of so many kinds of batches are kept; the least recently used one is dropped
WARM_UPS = 2  # runs before the capture, which compile, load and allocate all that it needs


@dataclasses.dataclass
class Part:
    """One captured function: its runs so far, its graph, and what it returned."""

    runs: int = 0
    graph: object = None
    result: object = None


class Graphs:
    """The graphs of one trainer, the stream they were captured on, and the pool of their memory.

    A graph holds addresses, and keeps nothing alive: the pool lives as long as this object.
    reason: why there are no graphs any more, or None.
    """

    Part = Part

    def __init__(self, cupy, on=True):
        self.cupy = cupy
        self.on = on
        self.reason = None
        # not the default stream, which can't be captured, and not one that waits for it
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.pool = cupy.cuda.MemoryPool()
        self.kinds = collections.OrderedDict()  # {key: what the caller keeps of a kind of batch}
        if on and cublas.library_of(cupy) is None:
            self.give_up("the cuBLAS library of CuPy was not found")

    def kind(self, key, make):
        """What is kept for batches of this kind, made by `make` if there is nothing yet."""
        if key not in self.kinds:
            while len(self.kinds) >= MOST:
                self.kinds.popitem(last=False)
            self.kinds[key] = make()
        self.kinds.move_to_end(key)
        return self.kinds[key]

    def run(self, part, work, lasting=False):
        """Run `work`, a function without arguments, on the stream; returns its result.

        After WARM_UPS runs it is captured, and from then on replayed.  lasting: the first runs
        allocate what stays, such as an optimiser's moments: not from the graphs' pool, then.
        """
        if part.graph is None and self.on and part.runs >= WARM_UPS:
            self._attempt(self._capture, part, work)
        if part.graph is not None:
            self._attempt(part.graph.launch, self.stream)
        if part.graph is None or not self.on:
            part.graph = None
            with contextlib.nullcontext() if lasting else self._own_memory():
                part.result = work()
            part.runs += 1
        return part.result

    def _capture(self, part, work):
        with self._own_memory():
            self.stream.begin_capture()
            try:
                result = work()
            finally:
                graph = self.stream.end_capture()
        part.result, part.graph = result, graph

    def _own_memory(self):
        """Context in which arrays come from the graphs' pool."""
        return self.cupy.cuda.using_allocator(self.pool.malloc)

    def _attempt(self, action, *args):
        """action(*args); if that fails, whatever it is, the step goes on without a graph."""
        try:
            action(*args)
        except Exception as error:
            self.give_up(" ".join(str(error).split())[:300] or type(error).__name__)

    def give_up(self, reason):
        """Use no graph any more, and remember why."""
        self.on = False
        self.reason = reason
