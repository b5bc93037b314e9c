// Sums over rows in two stages: what each strip of rows contributed is added up, for the gradients of gamma, beta and
// biases (g.sum(axis=0) in ops.py).  Atomic additions would be in another order every time.  And the bias itself.

#define MOST 96
#define GROUPS 24

// The sum of one column of partial (strips, width), for the first 32 threads, of which each has the column of its place; the
// others of the same place help.  `part` is for what they found.
__device__ Real column_sum(const Stored* partial, long long strips, long long width, long long column, Real* part) {
    Real sum = 0;
    if (column < width)
        for (long long s = threadIdx.x / 32; s < strips; s += THREADS / 32) sum += (Real)partial[s * width + column];
    part[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < 32 && column < width)
        for (int other = 32; other < THREADS; other += 32) sum += part[threadIdx.x + other];
    __syncthreads();                             // all have read it: the next call may write
    return sum;
}

// partial (strips, width) -> one, two, three, `each` columns apiece; bit i of `add` says whether the i-th is added to what
// is there.  A block: 32 neighbouring columns, THREADS / 32 threads for each.
extern "C" __global__ void strip_sums(const Stored* partial, Real* one, Real* two, Real* three, long long strips,
                                      long long width, long long each, long long add) {
    __shared__ Real part[THREADS];
    long long column = (long long)blockIdx.x * 32 + threadIdx.x % 32;
    Real sum = column_sum(partial, strips, width, column, part);
    if (threadIdx.x < 32 && column < width) {
        long long i = column / each;
        Real* to = (i == 0 ? one : i == 1 ? two : three) + column % each;
        *to = add >> i & 1 ? *to + sum : sum;
    }
}

// The partial sums of a whole backward pass: address and strips of each; they come in groups, of which each goes to its own
// three places, as above.  A group ends before its last_partial, and its blocks before its last_block.
struct Later {
    const Stored* partial[MOST];
    long long strips[MOST];
    Real* to[3 * GROUPS];
    long long width[GROUPS], each[GROUPS], add[GROUPS], last_partial[GROUPS], last_block[GROUPS];
};

// As strip_sums for each partial of each group, one after the other.
extern "C" __global__ void later_sums(Later later) {
    __shared__ Real part[THREADS];
    int group = 0;
    while (blockIdx.x >= later.last_block[group]) group++;
    long long block = blockIdx.x - (group ? later.last_block[group - 1] : 0);
    long long column = block * 32 + threadIdx.x % 32, width = later.width[group], each = later.each[group];
    Real* to = 0;
    bool begun = false;
    Real total = 0;
    if (column < width) {
        to = later.to[3 * group + column / each] + column % each;
        begun = later.add[group] >> column / each & 1;
        if (begun) total = *to;
    }
    for (long long i = group ? later.last_partial[group - 1] : 0; i < later.last_partial[group]; i++) {
        Real sum = column_sum(later.partial[i], later.strips[i], width, column, part);
        total = begun ? total + sum : sum;
        begun = true;
    }
    if (threadIdx.x < 32 && to) *to = total;
}

// y (rows, width) plus a bias (width,) in every row; one thread an element.
extern "C" __global__ void add_to_rows(Stored* y, const Real* bias, long long size, long long width) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) y[i] = (Real)y[i] + bias[i % width];
}
