// Dropout: ops.dropout, forward and backward, since both multiply by the same mask; it is hashed again, not stored.
#include "hash.cu"

// y = x / (1 - p) where kept, else 0; one thread an element.  row_size: elements of an example.
extern "C" __global__ void dropout(const Stored* x, Stored* y, long long size, long long row_size, double gain,
                                   long long threshold, long long key, long long first_row, const long long* draw) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    add_draw(draw, key, first_row);
    y[i] = kept(first_row + i / row_size, i % row_size, key, threshold) ? (Real)x[i] * (Real)gain : (Real)0;
}
