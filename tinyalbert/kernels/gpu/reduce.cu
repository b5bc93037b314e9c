// Sum and largest value over the threads of a block, for kernels that give a block to each row.
// Always in the same order, so that the result is the same bit for bit.  The number of threads is a power of two.

__device__ Real block_sum(Real value) {
    __shared__ Real part[THREADS];
    part[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();                         // the other half is written
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    __syncthreads();
    value = part[0];
    __syncthreads();                             // all have read it: the next call may write
    return value;
}

__device__ Real block_max(Real value) {
    __shared__ Real part[THREADS];
    part[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half && part[threadIdx.x + half] > part[threadIdx.x])
            part[threadIdx.x] = part[threadIdx.x + half];
    }
    __syncthreads();
    value = part[0];
    __syncthreads();
    return value;
}

#define LOWEST ((Real)-3e38)                     // where a search for the largest number begins
