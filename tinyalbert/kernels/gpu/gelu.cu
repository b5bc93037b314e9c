// GELU in its tanh form, alone or after a bias: ops.gelu, ops.linear_gelu.

// y = gelu(x + bias) and its derivative, one thread an element.  With s = (1 + tanh u) / 2, u = c x (1 + a x^2):
// y = x s,  y' = s (1 + (1 - s) (6 u - 4 c x)).  bias (width,) and slope may be null.
extern "C" __global__ void gelu_forward(const Stored* x, const Real* bias, Stored* y, Stored* slope, long long size,
                                        long long width) {
    const Real a = (Real)0.044715, c = (Real)0.7978845608028654;           // c = sqrt(2 / pi)
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    Real z = (Real)x[i] + (bias ? bias[i % width] : 0);
    Real u = c * z * (1 + a * z * z), s = (Real)0.5 * (1 + tanh(u));
    y[i] = z * s;
    if (slope) slope[i] = s * (1 + (1 - s) * (6 * u - 4 * c * z));
}

// gz = g slope, and what STRIP rows add to the bias's gradient: partial (strips, width), summed up by strip_sums.
// A block: one strip of rows, blockDim.x columns, a thread for each.
extern "C" __global__ void gelu_backward(const Stored* g, const Stored* slope, Stored* gz, Real* partial,
                                         long long rows, long long width) {
    long long tiles = (width + blockDim.x - 1) / blockDim.x, strip = blockIdx.x / tiles;
    long long column = blockIdx.x % tiles * blockDim.x + threadIdx.x;
    if (column >= width) return;
    Real sum = 0;
    for (long long row = strip * STRIP; row < rows && row < (strip + 1) * STRIP; row++) {
        long long at = row * width + column;
        Real z = (Real)g[at] * (Real)slope[at];
        gz[at] = z;
        sum += z;
    }
    partial[strip * width + column] = sum;
}
