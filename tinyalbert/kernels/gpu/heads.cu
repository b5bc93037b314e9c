// (B, T, H) <-> (B, N, T, D) for ops.attention, so that every product there is one of whole matrices in memory.
// Transposed operands are made here, where they have D columns, rather than of the (T, T) scores.

// Where in (B, T, N, D) the element `at` of (B, N, T, D), or of (B, N, D, T), lies: its row of all B T, and its column
// of all N D.  In 32 bits, which is enough for arrays of 16 GiB: a GPU divides 64-bit numbers so slowly that these
// divisions would take longer than the memory.
struct Spot { unsigned row, column; };

__device__ Spot spot(unsigned at, unsigned T, unsigned N, unsigned D, bool transposed) {
    unsigned head = at / (T * D), rest = at % (T * D);
    unsigned t = transposed ? rest % T : rest / D, d = transposed ? rest / T : rest % D;
    return {head / N * T + t, head % N * D + d};
}

// What lies there in x, whose rows begin every `line` elements, plus a bias (H,) if there is one.
__device__ Real found(const Stored* x, const Real* bias, Spot s, long long line) {
    return (Real)x[s.row * line + s.column] + (bias ? bias[s.column] : 0);
}

// What the forward pass multiplies: Q = q scale (B, N, M, D), KT (B, N, D, T), V (B, N, T, D).  M queries, T keys;
// asked: elements of q, size: elements of k and of v.  One thread for each, up to the larger number.  k and v begin
// `second` and `third` elements behind the given addresses, and the biases bq, bk, bv may be null.
extern "C" __global__ void split_forward(const Stored* q, const Stored* k, const Stored* v, const Real* bq,
                                         const Real* bk, const Real* bv, Stored* Q, Stored* KT, Stored* V,
                                         long long asked, long long size, long long M, long long T, long long N,
                                         long long D, long long line, long long second, long long third, double scale) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < asked) Q[at] = found(q, bq, spot(at, M, N, D, false), line) * (Real)scale;
    if (at < size) {
        KT[at] = found(k + second, bk, spot(at, T, N, D, true), line);
        V[at] = found(v + third, bv, spot(at, T, N, D, false), line);
    }
}

// What the backward pass multiplies: QT = q scale, GT (B, N, D, M), G (B, N, M, D), K = k scale (B, N, T, D),
// VT (B, N, D, T).  g has rows of H elements.
extern "C" __global__ void split_backward(const Stored* q, const Stored* k, const Stored* v, const Real* bq,
                                          const Real* bk, const Real* bv, const Stored* g, Stored* QT, Stored* K,
                                          Stored* VT, Stored* G, Stored* GT, long long asked, long long size,
                                          long long M, long long T, long long N, long long D, long long line,
                                          long long second, long long third, double scale) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < asked) {
        Spot across = spot(at, M, N, D, true), along = spot(at, M, N, D, false);
        QT[at] = found(q, bq, across, line) * (Real)scale;
        G[at] = found(g, 0, along, N * D);
        GT[at] = found(g, 0, across, N * D);
    }
    if (at < size) {
        K[at] = found(k + second, bk, spot(at, T, N, D, false), line) * (Real)scale;
        VT[at] = found(v + third, bv, spot(at, T, N, D, true), line);
    }
}

// The gradients GQ (B, N, M, D), GKT and GVT (B, N, D, T) as rows, in the same way.
extern "C" __global__ void merge_backward(const Stored* GQ, const Stored* GKT, const Stored* GVT, Stored* gq,
                                          Stored* gk, Stored* gv, long long asked, long long size, long long M,
                                          long long T, long long N, long long D, long long line, long long second,
                                          long long third) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < asked) {
        Spot s = spot(at, M, N, D, false);
        gq[s.row * line + s.column] = GQ[at];
    }
    if (at < size) {
        Spot s = spot(at, T, N, D, true);
        gk[second + s.row * line + s.column] = GKT[at];
        gv[third + s.row * line + s.column] = GVT[at];
    }
}
