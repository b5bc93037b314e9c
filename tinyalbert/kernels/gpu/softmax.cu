// Mask, softmax and dropout between the two products of ops.attention; the scale is in the queries already.
#include "reduce.cu"
#include "hash.cu"

__device__ Real biased(Real score, const Real* bias, long long j) { return bias ? score + bias[j] : score; }

// scores become softmax(scores + bias), in place; dropped, if not null, what dropout leaves of it.  One block a row
// of `width` keys; `rows` of them are an example's, which share the bias (width,) of that example.  stride: from one
// example's bias to the next, 0 if all have the same.
extern "C" __global__ void softmax_forward(Stored* scores, Stored* dropped, const Real* bias, long long stride,
                                           long long width, long long rows, double gain, long long threshold,
                                           long long key, long long first_row, const long long* draw) {
    add_draw(draw, key, first_row);
    long long example = blockIdx.x / rows, begin = blockIdx.x % rows * width, row = blockIdx.x * width;
    if (bias) bias += example * stride;
    Real top = LOWEST, sum = 0;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        Real score = biased(scores[row + j], bias, j);
        if (score > top) top = score;
    }
    top = block_max(top);                        // softmax is the same for any shift, and exp of this one stays small
    for (long long j = threadIdx.x; j < width; j += blockDim.x) sum += exp(biased(scores[row + j], bias, j) - top);
    sum = block_sum(sum);
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        Real weight = exp(biased(scores[row + j], bias, j) - top) / sum;   // again, rather than through memory
        scores[row + j] = weight;
        if (dropped)
            dropped[row + j] = kept(first_row + example, begin + j, key, threshold) ? weight * (Real)gain : (Real)0;
    }
}

// g, the gradient of what dropout left, becomes that of the scores: weights (g - sum(g weights)), dropout undone first.
// dropped is made anew for the product with g: kept from the forward pass it would be a second array of that size.
extern "C" __global__ void softmax_backward(const Stored* weights, Stored* g, Stored* dropped, long long width,
                                            long long rows, double gain, long long threshold, long long key,
                                            long long first_row, const long long* draw) {
    add_draw(draw, key, first_row);
    long long example = blockIdx.x / rows, begin = blockIdx.x % rows * width, row = blockIdx.x * width;
    Real sum = 0;
    for (long long j = threadIdx.x; j < width; j += blockDim.x) {
        if (dropped) {
            Real factor = kept(first_row + example, begin + j, key, threshold) ? (Real)gain : 0;
            dropped[row + j] = (Real)weights[row + j] * factor;
            g[row + j] = (Real)g[row + j] * factor;
        }
        sum += (Real)g[row + j] * (Real)weights[row + j];
    }
    sum = block_sum(sum);
    for (long long j = threadIdx.x; j < width; j += blockDim.x)
        g[row + j] = (Real)weights[row + j] * ((Real)g[row + j] - sum);
}
