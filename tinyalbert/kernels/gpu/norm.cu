// Layer norm over rows, of x or of x + residual: ops.layer_norm and ops.add_layer_norm.
#include "reduce.cu"

// x + residual, added again wherever it is needed: in 16 bits it would lose digits on its way through memory.
__device__ Real sum_at(const Stored* x, const Stored* residual, long long i) {
    return (Real)x[i] + (residual ? (Real)residual[i] : 0);
}

// y = xhat gamma + beta, xhat = (x + residual - mean) rstd, rstd = 1 / sqrt(variance + eps).  One block a row.
// residual is null where there is none, xhat and rstd are where nothing is kept for the backward pass.
extern "C" __global__ void layer_norm_forward(const Stored* x, const Stored* residual, const Real* gamma,
                                              const Real* beta, Stored* y, Stored* xhat, Real* rstd, long long width,
                                              double eps) {
    long long row = blockIdx.x * width;
    Real sum = 0, squares = 0;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) sum += sum_at(x, residual, row + j);
    Real mean = block_sum(sum) / width;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        Real centred = sum_at(x, residual, row + j) - mean;    // subtracted first: the difference of two large sums
        squares += centred * centred;                          // would lose digits
    }
    Real scale = 1 / sqrt(block_sum(squares) / width + (Real)eps);
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        Real normal = (sum_at(x, residual, row + j) - mean) * scale;
        if (xhat) xhat[row + j] = normal;
        y[row + j] = normal * gamma[j] + beta[j];
    }
    if (rstd && threadIdx.x == 0) rstd[blockIdx.x] = scale;
}

// gx = rstd (g gamma - mean(g gamma) - xhat mean(g gamma xhat)), and what STRIP rows, a block, add to the gradients of
// gamma (sum of g xhat) and beta (sum of g): partial (strips, 2, width), summed up by strip_sums.
extern "C" __global__ void layer_norm_backward(const Stored* g, const Stored* xhat, const Real* rstd, const Real* gamma,
                                               Stored* gx, Real* partial, long long rows, long long width) {
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
        Real ggamma = 0, gbeta = 0;
        for (long long i = 0; i < count; i++) {
            long long at = (first + i) * width + j;
            Real up = g[at], normal = xhat[at];
            gx[at] = rstd[first + i] * (up * gamma[j] - mean[i] - normal * along[i]);
            ggamma += up * normal;
            gbeta += up;
        }
        partial[2 * blockIdx.x * width + j] = ggamma;
        partial[(2 * blockIdx.x + 1) * width + j] = gbeta;
    }
}
