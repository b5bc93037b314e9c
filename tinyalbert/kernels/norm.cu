// Layer norm over rows, of x or of x + residual: ops.layer_norm and ops.add_layer_norm.
#include "reduce.cu"

// y = xhat gamma + beta, xhat = (x + residual - mean) rstd, rstd = 1 / sqrt(variance + eps).  One block a row.
// residual is null where there is none, xhat and rstd are where nothing is kept for the backward pass.
extern "C" __global__ void layer_norm_forward(const Real* x, const Real* residual, const Real* gamma, const Real* beta,
                                              Real* y, Real* xhat, Real* rstd, long long width, double eps) {
    long long row = blockIdx.x * width;
    Real sum = 0, squares = 0;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        y[row + j] = x[row + j] + (residual ? residual[row + j] : 0);      // read again by this thread only
        sum += y[row + j];
    }
    Real mean = block_sum(sum) / width;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        Real centred = y[row + j] - mean;        // subtracted first: the difference of two large sums would lose digits
        squares += centred * centred;
    }
    Real scale = 1 / sqrt(block_sum(squares) / width + (Real)eps);
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        Real normal = (y[row + j] - mean) * scale;
        if (xhat) xhat[row + j] = normal;
        y[row + j] = normal * gamma[j] + beta[j];
    }
    if (rstd && threadIdx.x == 0) rstd[blockIdx.x] = scale;
}

// gx = rstd (g gamma - mean(g gamma) - xhat mean(g gamma xhat)), and what STRIP rows, a block, add to the gradients of
// gamma (sum of g xhat) and beta (sum of g): partial (strips, 2, width), summed up by strip_sums.
extern "C" __global__ void layer_norm_backward(const Real* g, const Real* xhat, const Real* rstd, const Real* gamma,
                                               Real* gx, Real* partial, long long rows, long long width) {
    __shared__ Real mean[STRIP], along[STRIP];
    long long first = (long long)blockIdx.x * STRIP;
    long long count = rows - first < STRIP ? rows - first : STRIP;
    for (long long i = 0; i < count; i++) {
        long long row = (first + i) * width;
        Real sum = 0, product = 0;
        for (long long j = threadIdx.x; j < width; j += blockDim.x) {
            sum += g[row + j] * gamma[j];
            product += g[row + j] * gamma[j] * xhat[row + j];
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
            gx[at] = rstd[first + i] * (g[at] * gamma[j] - mean[i] - xhat[at] * along[i]);
            ggamma += g[at] * xhat[at];
            gbeta += g[at];
        }
        partial[2 * blockIdx.x * width + j] = ggamma;
        partial[(2 * blockIdx.x + 1) * width + j] = gbeta;
    }
}
