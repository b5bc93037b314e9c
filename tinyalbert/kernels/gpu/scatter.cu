// Rows added up by id: the gradient of ops.embedding.  Threads come in any order, and a sum of rounded numbers depends
// on the order; a sum of integers does not.  So all is counted in one unit, chosen by the largest number of all.

// top: the bits of the largest |g|, which as integers are ordered as the numbers are, infinity and nan above all.
// A thread has STRIP elements; top is read before it is written to, since few threads have anything larger.
extern "C" __global__ void largest(const Stored* g, long long* top, long long size) {
    long long first = (long long)blockIdx.x * STRIP * blockDim.x + threadIdx.x, found = 0;
    for (long long i = first, n = 0; i < size && n < STRIP; i += blockDim.x, n++) {
        long long bits = __double_as_longlong(fabs((double)(Real)g[i]));
        if (bits > found) found = bits;
    }
    if (found > *top) atomicMax(top, found);
}

// share of the largest number, rounded down to a power of two, so that x / unit is exact; infinite if any x is not
// finite.  It is not 0 where all x are.
__device__ double unit(const long long* top, double share) {
    double power = __longlong_as_double(*top & 0x7FF0000000000000LL) * share;
    return power < 1e-280 ? 1e-280 : power;
}

// sums[ids[i]] += g[i] / unit, in integers of 64 bits.  One thread an element; ids as NumPy has them, -1 the last row.
extern "C" __global__ void add_rows(const Stored* g, const int* ids, long long* sums, const long long* top,
                                    long long size, long long rows, long long width, double share) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    long long id = ids[i / width], count = rint((double)(Real)g[i] / unit(top, share));
    if (id < 0) id += rows;
    if (id >= 0 && id < rows) atomicAdd((unsigned long long*)sums + id * width + i % width, (unsigned long long)count);
}

// table = sums unit, or += with `add`; one thread an element.
extern "C" __global__ void to_real(const long long* sums, const long long* top, Real* table, long long size, double share,
                                   long long add) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    Real sum = sums[i] * unit(top, share);
    table[i] = add ? table[i] + sum : sum;
}
