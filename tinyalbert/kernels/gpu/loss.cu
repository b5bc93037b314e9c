// Mean cross-entropy of rows of scores: ops.cross_entropy.  Nothing of the scores' size is made but their gradient.
#include "reduce.cu"

// log_sums = log(sum(exp(x))) and losses = log_sums - x[label], 0 for a row that does not count.  One block a row.
// A label outside the row, which an op on the CPU refuses, makes the loss nan.
extern "C" __global__ void row_losses(const Stored* x, const int* labels, Real* log_sums, Real* losses, long long width,
                                      long long ignore) {
    const Stored* row = x + blockIdx.x * width;
    Real top = LOWEST, sum = 0;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) if ((Real)row[j] > top) top = row[j];
    top = block_max(top);
    for (long long j = threadIdx.x; j < width; j += blockDim.x) sum += exp((Real)row[j] - top);
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        int label = labels[blockIdx.x];
        log_sums[blockIdx.x] = log(sum) + top;
        losses[blockIdx.x] = label == ignore ? 0 : label < 0 || label >= width ? (Real)nan("")
                                                 : log_sums[blockIdx.x] - (Real)row[label];
    }
}

// mean[0]: the loss; mean[1]: the weight of a row, one by the number of rows that count.  One block.
extern "C" __global__ void mean_loss(const Real* losses, const int* labels, Real* mean, long long rows,
                                     long long ignore) {
    Real sum = 0, count = 0;
    for (long long i = threadIdx.x; i < rows; i += blockDim.x) {
        sum += losses[i];
        count += labels[i] != ignore;
    }
    sum = block_sum(sum);
    count = block_sum(count);
    if (threadIdx.x == 0) {
        mean[1] = 1 / (count > 1 ? count : 1);
        mean[0] = sum * mean[1];
    }
}

// gx = (softmax(x) - one-hot(label)) times the row's weight and g.  One block a row.
extern "C" __global__ void loss_backward(const Stored* x, const int* labels, const Real* log_sums, const Real* mean,
                                         const Real* g, Stored* gx, long long width, long long ignore) {
    long long row = blockIdx.x * width, label = labels[blockIdx.x];
    Real weight = label == ignore ? 0 : g[0] * mean[1];
    for (long long j = threadIdx.x; j < width; j += blockDim.x)
        gx[row + j] = (exp((Real)x[row + j] - log_sums[blockIdx.x]) - (j == label)) * weight;
}
