// (B, T, H) <-> (B, N, T, D) for ops.attention, so that every product there is one of whole matrices in memory.
// Transposed operands are made here, where they have D columns, rather than of the (T, T) scores.

// Place in (B, T, N, D) of element `at` of (B, N, T, D), or of (B, N, D, T).  In 32 bits, which is enough for arrays of
// 16 GiB: a GPU divides 64-bit numbers so slowly that these divisions would take longer than the memory.
__device__ unsigned merged(unsigned at, unsigned T, unsigned N, unsigned D, bool transposed) {
    unsigned head = at / (T * D), rest = at % (T * D);
    unsigned t = transposed ? rest % T : rest / D, d = transposed ? rest / T : rest % D;
    return ((head / N * T + t) * N + head % N) * D + d;
}

// What the forward pass multiplies: Q = q scale (B, N, M, D), KT (B, N, D, T), V (B, N, T, D).  M queries, T keys;
// asked: elements of q, size: elements of k and of v.  One thread for each, up to the larger number.
extern "C" __global__ void split_forward(const Stored* q, const Stored* k, const Stored* v, Stored* Q, Stored* KT,
                                         Stored* V, long long asked, long long size, long long M, long long T,
                                         long long N, long long D, double scale) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < asked) Q[at] = (Real)q[merged(at, M, N, D, false)] * (Real)scale;
    if (at < size) {
        KT[at] = k[merged(at, T, N, D, true)];
        V[at] = v[merged(at, T, N, D, false)];
    }
}

// What the backward pass multiplies: QT = q scale, GT (B, N, D, M), G (B, N, M, D), K = k scale (B, N, T, D),
// VT (B, N, D, T).
extern "C" __global__ void split_backward(const Stored* q, const Stored* k, const Stored* v, const Stored* g,
                                          Stored* QT, Stored* K, Stored* VT, Stored* G, Stored* GT, long long asked,
                                          long long size, long long M, long long T, long long N, long long D,
                                          double scale) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < asked) {
        QT[at] = (Real)q[merged(at, M, N, D, true)] * (Real)scale;
        G[at] = g[merged(at, M, N, D, false)];
        GT[at] = g[merged(at, M, N, D, true)];
    }
    if (at < size) {
        K[at] = (Real)k[merged(at, T, N, D, false)] * (Real)scale;
        VT[at] = v[merged(at, T, N, D, true)];
    }
}

// The gradients GQ (B, N, M, D), GKT and GVT (B, N, D, T) as (B, M, H) and (B, T, H).
extern "C" __global__ void merge_backward(const Stored* GQ, const Stored* GKT, const Stored* GVT, Stored* gq,
                                          Stored* gk, Stored* gv, long long asked, long long size, long long M,
                                          long long T, long long N, long long D) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < asked) gq[merged(at, M, N, D, false)] = GQ[at];
    if (at < size) {
        gk[merged(at, T, N, D, true)] = GKT[at];
        gv[merged(at, T, N, D, true)] = GVT[at];
    }
}
