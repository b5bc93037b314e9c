// The numbers of a training step, which a replayed step writes where the host finds them.

// The norm sqrt(squares), and the factor that makes it at most `limit`: 1 if it is.  One thread works.
extern "C" __global__ void clip_factor(const Real* squares, Real* norm, Real* factor, double limit) {
    if (threadIdx.x) return;
    Real most = limit;
    *norm = sqrt(*squares);
    *factor = most / (*norm <= most ? most : *norm);  // nan stays nan
}

// One term's share of the global batch's mean: sum = loss share, or sum += loss share.  One thread works.
extern "C" __global__ void note_loss(const Real* loss, const double* share, double* sum, long long add) {
    if (threadIdx.x == 0) *sum = (add ? *sum : 0) + (double)*loss * *share;
}

// Row *row of ring (rows, terms + 1 or + 2): the losses (terms,), the gradient's norm, and the loss scale if not null.
extern "C" __global__ void note_step(const double* losses, const Real* norm, const Real* scale, double* ring,
                                     const long long* row, long long terms) {
    double* numbers = ring + *row * (terms + (scale ? 2 : 1));
    for (long long i = threadIdx.x; i < terms; i += blockDim.x) numbers[i] = losses[i];
    if (threadIdx.x) return;
    numbers[terms] = *norm;
    if (scale) numbers[terms + 1] = *scale;
}
