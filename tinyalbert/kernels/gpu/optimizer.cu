// AdamW and LAMB (optim.py) over all parameters at once: one launch, and three.  finite, if not null: 0 where the step
// is to change nothing, since a gradient overflowed.
#include "reduce.cu"

// A parameter, its gradient and moments, wherever they are; whether it is excluded from decay and trust ratio; and
// the blocks that work on it.
struct Parameter { Real *w, *g, *m, *v; long long size, excluded, first_block, blocks; };

// Learning rate and bias corrections: as they are given, or, so that a launch can be replayed, from memory, rates (3,).
struct Rates { double lr, c1, c2; };
__device__ Rates rates_of(const double* rates, double lr, double c1, double c2) {
    if (!rates) return {lr, c1, c2};
    return {rates[0], rates[1], rates[2]};
}

// What one block works on: elements begin to end of a parameter.
struct Piece { long long parameter, begin, end; };

// m / (sqrt(v) + eps) + decay w, with the bias corrections c1 = 1 / (1 - beta1^t), c2 = 1 / sqrt(1 - beta2^t).
__device__ Real direction(Parameter p, long long i, double eps, double decay, Rates rates) {
    Real u = p.m[i] / (sqrt(p.v[i]) * (Real)rates.c2 + (Real)eps) * (Real)rates.c1;
    return p.excluded ? u : u + (Real)decay * p.w[i];
}

// m and v become the running means of g and g^2.
__device__ void add_to_moments(Parameter p, long long i, double beta1, double beta2) {
    p.m[i] = (Real)beta1 * p.m[i] + (Real)(1 - beta1) * p.g[i];
    p.v[i] = (Real)beta2 * p.v[i] + (Real)(1 - beta2) * p.g[i] * p.g[i];
}

extern "C" __global__ void adamw(const Parameter* parameters, const Piece* pieces, const Real* finite, double beta1,
                                 double beta2, double eps, double decay, double c1, double c2, double lr,
                                 const double* rates) {
    if (finite && *finite == 0) return;
    Rates now = rates_of(rates, lr, c1, c2);
    Piece piece = pieces[blockIdx.x];
    Parameter p = parameters[piece.parameter];
    for (long long i = piece.begin + threadIdx.x; i < piece.end; i += blockDim.x) {
        add_to_moments(p, i, beta1, beta2);
        p.w[i] -= (Real)now.lr * direction(p, i, eps, decay, now);
    }
}

// First launch of LAMB: the moments, and each block's share of |w|^2 and |u|^2: squares (blocks, 2).
extern "C" __global__ void lamb_squares(const Parameter* parameters, const Piece* pieces, const Real* finite,
                                        Real* squares, double beta1, double beta2, double eps, double decay, double c1, double c2,
                                        const double* rates) {
    if (finite && *finite == 0) return;
    Rates now = rates_of(rates, 0, c1, c2);
    Piece piece = pieces[blockIdx.x];
    Parameter p = parameters[piece.parameter];
    Real of_w = 0, of_u = 0;
    for (long long i = piece.begin + threadIdx.x; i < piece.end; i += blockDim.x) {
        add_to_moments(p, i, beta1, beta2);
        Real u = direction(p, i, eps, decay, now);
        of_w += p.w[i] * p.w[i];
        of_u += u * u;
    }
    of_w = block_sum(of_w);
    of_u = block_sum(of_u);
    if (threadIdx.x == 0) { squares[2 * blockIdx.x] = of_w; squares[2 * blockIdx.x + 1] = of_u; }
}

// Second: the trust ratio |w| / |u| of each parameter, a block for each; 1 if it is excluded or a length is 0.
extern "C" __global__ void lamb_ratios(const Parameter* parameters, const Real* squares, Real* ratios) {
    Parameter p = parameters[blockIdx.x];
    Real of_w = 0, of_u = 0;
    for (long long i = p.first_block + threadIdx.x; i < p.first_block + p.blocks; i += blockDim.x) {
        of_w += squares[2 * i];
        of_u += squares[2 * i + 1];
    }
    of_w = block_sum(of_w);
    of_u = block_sum(of_u);
    if (threadIdx.x == 0) ratios[blockIdx.x] = !p.excluded && of_w > 0 && of_u > 0 ? sqrt(of_w) / sqrt(of_u) : 1;
}

// Third: the step; the direction is computed again rather than kept.
extern "C" __global__ void lamb(const Parameter* parameters, const Piece* pieces, const Real* finite, const Real* ratios,
                                double eps, double decay, double c1, double c2, double lr, const double* rates) {
    if (finite && *finite == 0) return;
    Rates now = rates_of(rates, lr, c1, c2);
    Piece piece = pieces[blockIdx.x];
    Parameter p = parameters[piece.parameter];
    Real rate = (Real)now.lr * ratios[piece.parameter];
    for (long long i = piece.begin + threadIdx.x; i < piece.end; i += blockDim.x)
        p.w[i] -= rate * direction(p, i, eps, decay, now);
}

// precision.LossScale.update; state: the scale, the steps since it changed, whether norm is finite.  One thread works.
extern "C" __global__ void loss_scale(const Real* norm, Real* state, long long interval) {
    if (threadIdx.x) return;
    bool finite = *norm - *norm == 0, grown = finite && state[1] + 1 >= interval;
    Real scale = finite ? grown ? 2 * state[0] : state[0] : state[0] / 2;
    state[0] = scale < 1 ? 1 : scale;
    state[1] = finite && !grown ? state[1] + 1 : 0;
    state[2] = finite;
}
