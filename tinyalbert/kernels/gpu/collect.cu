// Many arrays into one: gradients into their sum, weights into their 16-bit copies.
#define MOST 128

// Where the arrays lie, null for one that is not there, and where they end in the one they go to.
struct Arrays { const Real* address[MOST]; long long end[MOST]; };

// Elements first to the last end of flat become those of the arrays, or, with `add`, these are added to them.  One
// thread an element, which looks for its array by halving.
extern "C" __global__ void collect(Arrays arrays, Stored* flat, long long first, long long add) {
    long long i = first + (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= arrays.end[MOST - 1]) return;
    int low = 0;
    for (int half = MOST / 2; half > 0; half /= 2) if (arrays.end[low + half - 1] <= i) low += half;
    Real value = arrays.address[low] ? arrays.address[low][i - (low ? arrays.end[low - 1] : first)] : 0;
    flat[i] = add ? (Real)flat[i] + value : value;
}
