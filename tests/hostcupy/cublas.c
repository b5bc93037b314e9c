// What CuPy needs of cuBLAS, on host memory: column-major products and dot products, summed in double.
// Other functions of cuBLAS are missing on purpose: a call of one ends the process with its name.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 };                  // cudaDataType

static double load(const void *p, int type, size_t i) {
    switch (type) {
    case F32: return ((const float *)p)[i];
    case F64: return ((const double *)p)[i];
    case F16: return ((const _Float16 *)p)[i];
    case BF16: { uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16; float x; memcpy(&x, &bits, 4); return x; }
    }
    abort();
}

static void store(void *p, int type, size_t i, double x) {
    switch (type) {
    case F32: ((float *)p)[i] = x; return;
    case F64: ((double *)p)[i] = x; return;
    case F16: ((_Float16 *)p)[i] = (_Float16)x; return;
    case BF16: {
        float f = x; uint32_t bits; memcpy(&bits, &f, 4);
        ((uint16_t *)p)[i] = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16; return;
    }
    }
    abort();
}

static size_t size(int type) { return type == F64 ? 8 : type == F32 ? 4 : 2; }
static double scalar(const void *p, int is_double) { return is_double ? *(const double *)p : *(const float *)p; }

// Rows of op(X), (rows, k), as doubles: the sums below then run over neighbours.
static double *rows_of(const void *X, int type, int ld, int rows, int k, int along) {
    double *out = malloc(sizeof(double) * (size_t)(rows ? rows : 1) * (k ? k : 1));
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t l = 0; l < (size_t)k; l++)
            out[i * k + l] = load(X, type, along ? l + i * ld : i + l * ld);
    return out;
}

static void gemm(int ta, int tb, int m, int n, int k, double alpha, const void *A, int at, int lda, const void *B, int bt,
                 int ldb, double beta, void *C, int ct, int ldc) {
    double *a = rows_of(A, at, lda, m, k, ta), *b = rows_of(B, bt, ldb, n, k, !tb);
    for (size_t j = 0; j < (size_t)n; j++)
        for (size_t i = 0; i < (size_t)m; i++) {
            const double *x = a + i * k, *y = b + j * k;
            double sum = 0;
            for (int l = 0; l < k; l++) sum += x[l] * y[l];
            size_t at_c = i + j * ldc;
            store(C, ct, at_c, alpha * sum + (beta ? beta * load(C, ct, at_c) : 0));
        }
    free(a); free(b);
}

static double dot(int n, const void *x, int xt, int ix, const void *y, int yt, int iy) {
    double sum = 0;
    for (size_t i = 0; i < (size_t)n; i++) sum += load(x, xt, i * ix) * load(y, yt, i * iy);
    return sum;
}

int cublasCreate_v2(void **h) { *h = (void *)8; return 0; }
int cublasDestroy_v2(void *h) { return 0; }
int cublasSetStream_v2(void *h, void *s) { return 0; }
int cublasGetStream_v2(void *h, void **s) { *s = 0; return 0; }
int cublasGetVersion_v2(void *h, int *version) { *version = 130000; return 0; }
int cublasSetMathMode(void *h, int mode) { return 0; }
int cublasGetMathMode(void *h, int *mode) { *mode = 0; return 0; }
int cublasSetPointerMode_v2(void *h, int mode) { return 0; }
int cublasGetPointerMode_v2(void *h, int *mode) { *mode = 0; return 0; }
int cublasSetWorkspace_v2(void *h, void *workspace, size_t bytes) { return 0; }

int cublasGemmEx(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *A, int at, int lda,
                 const void *B, int bt, int ldb, const void *beta, void *C, int ct, int ldc, int compute, int algorithm) {
    int d = compute == 70 || compute == 71 || compute == 1;     // scalars are doubles
    gemm(ta, tb, m, n, k, scalar(alpha, d), A, at, lda, B, bt, ldb, scalar(beta, d), C, ct, ldc);
    return 0;
}
int cublasSgemm_v2(void *h, int ta, int tb, int m, int n, int k, const float *alpha, const float *A, int lda, const float *B,
                   int ldb, const float *beta, float *C, int ldc) {
    gemm(ta, tb, m, n, k, *alpha, A, F32, lda, B, F32, ldb, *beta, C, F32, ldc);
    return 0;
}
int cublasSgemmEx(void *h, int ta, int tb, int m, int n, int k, const float *alpha, const void *A, int at, int lda,
                  const void *B, int bt, int ldb, const float *beta, void *C, int ct, int ldc) {
    gemm(ta, tb, m, n, k, *alpha, A, at, lda, B, bt, ldb, *beta, C, ct, ldc);
    return 0;
}
int cublasDgemm_v2(void *h, int ta, int tb, int m, int n, int k, const double *alpha, const double *A, int lda,
                   const double *B, int ldb, const double *beta, double *C, int ldc) {
    gemm(ta, tb, m, n, k, *alpha, A, F64, lda, B, F64, ldb, *beta, C, F64, ldc);
    return 0;
}
int cublasGemmStridedBatchedEx(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *A, int at,
                               int lda, long long sa, const void *B, int bt, int ldb, long long sb, const void *beta, void *C,
                               int ct, int ldc, long long sc, int batches, int compute, int algorithm) {
    int d = ct == F64;
    for (long long i = 0; i < batches; i++)
        gemm(ta, tb, m, n, k, scalar(alpha, d), (const char *)A + i * sa * size(at), at, lda,
             (const char *)B + i * sb * size(bt), bt, ldb, scalar(beta, d), (char *)C + i * sc * size(ct), ct, ldc);
    return 0;
}
int cublasSgemmBatched(void *h, int ta, int tb, int m, int n, int k, const float *alpha, const float **A, int lda,
                       const float **B, int ldb, const float *beta, float **C, int ldc, int batches) {
    for (int i = 0; i < batches; i++)
        gemm(ta, tb, m, n, k, *alpha, A[i], F32, lda, B[i], F32, ldb, *beta, C[i], F32, ldc);
    return 0;
}
int cublasDgemmBatched(void *h, int ta, int tb, int m, int n, int k, const double *alpha, const double **A, int lda,
                       const double **B, int ldb, const double *beta, double **C, int ldc, int batches) {
    for (int i = 0; i < batches; i++)
        gemm(ta, tb, m, n, k, *alpha, A[i], F64, lda, B[i], F64, ldb, *beta, C[i], F64, ldc);
    return 0;
}
int cublasSdot_v2(void *h, int n, const float *x, int ix, const float *y, int iy, float *r) {
    *r = dot(n, x, F32, ix, y, F32, iy);
    return 0;
}
int cublasDdot_v2(void *h, int n, const double *x, int ix, const double *y, int iy, double *r) {
    *r = dot(n, x, F64, ix, y, F64, iy);
    return 0;
}
int cublasDotEx(void *h, int n, const void *x, int xt, int ix, const void *y, int yt, int iy, void *r, int rt, int compute) {
    store(r, rt, 0, dot(n, x, xt, ix, y, yt, iy));
    return 0;
}
