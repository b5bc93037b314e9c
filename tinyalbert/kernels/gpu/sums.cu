// Sums over rows in two stages: what each strip of rows contributed is added up, for the gradients of gamma, beta and
// biases (g.sum(axis=0) in ops.py).  Atomic additions would be in another order every time.  And the bias itself.

// partial (strips, width) -> one, two, three, `each` columns apiece; bit i of `add` says whether the i-th is added to what
// is there.  A block: 32 neighbouring columns, THREADS / 32 threads for each.
extern "C" __global__ void strip_sums(const Stored* partial, Real* one, Real* two, Real* three, long long strips,
                                      long long width, long long each, long long add) {
    __shared__ Real part[THREADS];
    long long column = (long long)blockIdx.x * 32 + threadIdx.x % 32;
    Real sum = 0;
    if (column < width)
        for (long long s = threadIdx.x / 32; s < strips; s += THREADS / 32) sum += (Real)partial[s * width + column];
    part[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < 32 && column < width) {
        for (int other = 32; other < THREADS; other += 32) sum += part[threadIdx.x + other];
        long long i = column / each;
        Real* to = (i == 0 ? one : i == 1 ? two : three) + column % each;
        *to = add >> i & 1 ? *to + sum : sum;
    }
}

// y (rows, width) plus a bias (width,) in every row; one thread an element.
extern "C" __global__ void add_to_rows(Stored* y, const Real* bias, long long size, long long width) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = (Real)y[i] + bias[i % width];
}
