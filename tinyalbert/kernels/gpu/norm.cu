// Layer norm over rows, of x or of x + residual: ops.layer_norm and ops.add_layer_norm.
#include "reduce.cu"
#include "hash.cu"

// What comes before the norm: a bias (width,), dropout, and a residual, each left out if it is null or the threshold 0.
// `rows` rows of `width` are an example's.
struct Before {
    const Stored *x, *residual;
    const Real* bias;
    long long width, rows, threshold, key, example, begin;
    Real gain;

    __device__ bool keeps(long long j) { return !threshold || kept(example, begin + j, key, threshold); }

    // Column j of the row that begins at `row`, computed again wherever it is needed: in 16 bits it would lose digits
    // on its way through memory.
    __device__ Real at(long long row, long long j) {
        Real value = (Real)x[row + j] + (bias ? bias[j] : 0);
        if (threshold) value = keeps(j) ? value * gain : (Real)0;
        return value + (residual ? (Real)residual[row + j] : 0);
    }

    // The dropout's numbers of row number `row`.
    __device__ void go_to(long long row, long long first_row) {
        example = first_row + row / rows;
        begin = row % rows * width;
    }
};

// y = xhat gamma + beta, xhat = (s - mean) rstd, rstd = 1 / sqrt(variance + eps), where s is what `Before` has.  One
// block a row.  xhat and rstd are null where nothing is kept for the backward pass.
extern "C" __global__ void layer_norm_forward(const Stored* x, const Real* bias, const Stored* residual, const Real* gamma,
                                              const Real* beta, Stored* y, Stored* xhat, Real* rstd, long long width,
                                              double eps, long long rows, double gain, long long threshold,
                                              long long key, long long first_row, const long long* draw) {
    add_draw(draw, key, first_row);
    Before before = {x, residual, bias, width, rows, threshold, key, 0, 0, (Real)gain};
    before.go_to(blockIdx.x, first_row);
    long long row = blockIdx.x * width;
    Real sum = 0, squares = 0;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) sum += before.at(row, j);
    Real mean = block_sum(sum) / width;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        Real centred = before.at(row, j) - mean;               // subtracted first: the difference of two large sums
        squares += centred * centred;                          // would lose digits
    }
    Real scale = 1 / sqrt(block_sum(squares) / width + (Real)eps);
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        Real normal = (before.at(row, j) - mean) * scale;
        if (xhat) xhat[row + j] = normal;
        y[row + j] = normal * gamma[j] + beta[j];
    }
    if (rstd && threadIdx.x == 0) rstd[blockIdx.x] = scale;
}

// gx = rstd (g gamma - mean(g gamma) - xhat mean(g gamma xhat)), and what STRIP rows, a block, add to the gradients of
// gamma (sum of g xhat), beta (sum of g) and, if gy is not null, the bias: partial (strips, 2 or 3, width), summed up by
// strip_sums.  gy: gx with the dropout undone.
extern "C" __global__ void layer_norm_backward(const Stored* g, const Stored* xhat, const Real* rstd, const Real* gamma,
                                               Stored* gx, Stored* gy, Real* partial, long long rows, long long width,
                                               long long rows_of_one, double gain, long long threshold, long long key,
                                               long long first_row, const long long* draw) {
    add_draw(draw, key, first_row);
    Before before = {0, 0, 0, width, rows_of_one, threshold, key, 0, 0, (Real)gain};
    long long kinds = gy ? 3 : 2;
    __shared__ Real mean[STRIP], along[STRIP];
    long long first = (long long)blockIdx.x * STRIP;
    long long count = rows - first < STRIP ? rows - first : STRIP;
    for (long long i = 0; i < count; i++) {
        long long row = (first + i) * width;
        Real sum = 0, product = 0;
        for (long long j = threadIdx.x; j < width; j += blockDim.x) {
            Real gain = (Real)g[row + j] * gamma[j];
            sum += gain;
            product += gain * (Real)xhat[row + j];
        }
        sum = block_sum(sum);
        product = block_sum(product);
        if (threadIdx.x == 0) { mean[i] = sum / width; along[i] = product / width; }
    }
    __syncthreads();                             // mean and along are there
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {          // a thread owns a column: no sum is shared
        Real ggamma = 0, gbeta = 0, gbias = 0;
        for (long long i = 0; i < count; i++) {
            long long at = (first + i) * width + j;
            Real up = g[at], normal = xhat[at];
            Real down = rstd[first + i] * (up * gamma[j] - mean[i] - normal * along[i]);
            gx[at] = down;
            ggamma += up * normal;
            gbeta += up;
            if (!gy) continue;
            before.go_to(first + i, first_row);
            if (threshold) down = before.keeps(j) ? down * before.gain : (Real)0;
            gy[at] = down;
            gbias += down;
        }
        partial[kinds * blockIdx.x * width + j] = ggamma;
        partial[(kinds * blockIdx.x + 1) * width + j] = gbeta;
        if (gy) partial[(kinds * blockIdx.x + 2) * width + j] = gbias;
    }
}
