"""CUDA graphs on host memory: while a stream is captured, what would run on it is noted; a graph is the list of notes.

As on a GPU, a wait or a question in a capture spoils it, and freed memory may be given out again.  CuPy's own refusals (copies
to and from the host, its wrapper of cuBLAS) need nothing here: it asks whether a stream is captured.  An error raised in
here does not get through CuPy's compiled code: a test asks `spoilt`, and whether a graph was made.
"""

import ctypes
from collections.abc import Callable
from typing import NamedTuple

STREAM_CAPTURE_UNSUPPORTED, STREAM_CAPTURE_INVALIDATED = 900, 901          # cudaError_t
counts = {"launch": 0, "h2d": 0, "d2h": 0, "d2d": 0, "sync": 0, "compile": 0, "malloc": 0, "graph": 0, "query": 0, "product": 0}
capturing = {}                                   # {stream: its nodes so far}
spoilt = []                                      # what spoilt a capture, and where
graphs = {}                                      # {number: nodes}
blocks = {}                                      # {address: bytes} of all memory that is not freed


class Node(NamedTuple):
    kind: str                                    # "kernel", "product", "copy" or "fill"
    name: str
    arguments: list                              # addresses and other integers of 8 bytes, as far as they are known
    run: Callable


def node(stream, kind, name, arguments, run):
    """Do it now, or, while the stream is captured, note it."""
    if stream in capturing:
        capturing[stream].append(Node(kind, name, arguments, run))
    else:
        run()


def begin(stream, *_):
    assert stream not in capturing
    capturing[stream] = []


def end(stream):
    nodes = capturing.pop(stream)
    if spoilt:
        raise RuntimeError(STREAM_CAPTURE_INVALIDATED)
    graphs[len(graphs) + 1] = nodes
    return len(graphs)


def launch(graph, stream):
    assert stream not in capturing
    counts["graph"] += 1
    for each in graphs[graph]:
        each.run()


def forget(graph, *_):
    graphs[graph] = None                         # its number is not given again


def wait(*_):
    counts["sync"] += 1
    if capturing:
        spoilt.append("a wait")
        raise RuntimeError(STREAM_CAPTURE_UNSUPPORTED)


def query(stream, *_):
    """cudaSuccess: everything is done at once."""
    counts["query"] += 1
    if stream in capturing:
        spoilt.append("a question")
    return 0


class Cublas:
    """cuBLAS for the library's own calls: products are noted while the stream of their handle is captured."""

    def __init__(self, library):
        self.library, self.streams = library, {}

    def cublasCreate_v2(self, place):
        status = self.library.cublasCreate_v2(place)
        self.handle = ctypes.c_void_p.from_address(place).value
        ctypes.c_void_p.from_address(place).value = len(self.streams) + 1
        self.streams[len(self.streams) + 1] = 0
        return status

    def cublasSetStream_v2(self, handle, stream):
        self.streams[handle] = stream
        return self.library.cublasSetStream_v2(self.handle, stream)

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        assert not capturing and size in (blocks[workspace], 0)
        return self.library.cublasSetWorkspace_v2(self.handle, workspace, size)

    def cublasGemmStridedBatchedEx(self, handle, *given):
        at, bt, m, n, k, alpha, A, *between = given
        B, beta, C, c_type = between[3], between[7], between[8], between[9]
        width = 8 if c_type == 1 else 4
        scalars = [ctypes.create_string_buffer(ctypes.string_at(p, width), width) for p in (alpha, beta)]     # read at once
        places = list(given)
        for place, scalar in zip((5, given.index(beta, 6)), scalars):
            places[place] = ctypes.addressof(scalar)
        node(self.streams[handle], "product", f"{m} x {n} x {k}", [A, B, C],
             lambda kept=scalars: self.library.cublasGemmStridedBatchedEx(self.handle, *places))
        counts["product"] += 1
        return 0
