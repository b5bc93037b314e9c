// Runs the body of a CUDA kernel on the CPU: each thread of a block is a fiber, so __syncthreads() works; blocks
// run one after another.  Warp shuffles do not exist here: a kernel with one does not compile.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <math.h>                                  // exp(float) and the like without std::, as in CUDA
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __shared__ static                          // one block at a time: a static belongs to the block

namespace cudacpu {
struct D3 { unsigned x = 0, y = 0, z = 0; };
}
static cudacpu::D3 threadIdx, blockIdx, blockDim, gridDim;

namespace cudacpu {
enum { READY, WARP, BLOCK, DONE };                 // why a fiber is not running
static std::vector<ucontext_t> fibers;
static std::vector<char> state;
static std::vector<char *> stacks;
static std::function<void()> body;
static ucontext_t scheduler;
static int current;

static unsigned in_order(unsigned i, unsigned threads) {         // the order of threads must not matter
#ifdef CUDACPU_REVERSED
    return threads - 1 - i;
#else
    return i;
#endif
}

static void run_body() { body(); state[current] = DONE; swapcontext(&fibers[current], &scheduler); }

static void wait(char why) {
    unsigned thread = threadIdx.x;
    state[current] = why;
    swapcontext(&fibers[current], &scheduler);
    threadIdx.x = thread;
}

template <class F> void launch(unsigned grid, unsigned block, F f) {
    const size_t stack_size = 64 * 1024;
    gridDim.x = grid; blockDim.x = block; body = f;
    while (stacks.size() < block) stacks.push_back((char *)malloc(stack_size));
    for (unsigned b = 0; b < grid; ++b) {
        blockIdx.x = b;
        fibers.assign(block, ucontext_t{});
        state.assign(block, READY);
        for (unsigned t = 0; t < block; ++t) {
            getcontext(&fibers[t]);
            fibers[t].uc_stack.ss_sp = stacks[t];
            fibers[t].uc_stack.ss_size = stack_size;
            fibers[t].uc_link = 0;
            makecontext(&fibers[t], run_body, 0);
        }
        for (;;) {
            for (unsigned i = 0; i < block; ++i) {
                unsigned t = in_order(i, block);
                if (state[t] == READY) { current = t; threadIdx.x = t; swapcontext(&scheduler, &fibers[t]); }
            }
            auto number = [](char what) { return (unsigned)std::count(state.begin(), state.end(), what); };
            unsigned done = number(DONE), in_warps = number(WARP);
            if (done == block) break;
#ifdef CUDACPU_STRICT
            if (!in_warps && done) {
                fprintf(stderr, "cudacpu: %u threads are at __syncthreads, %u have ended\n", number(BLOCK), done);
                abort();
            }
#endif
            for (char &s : state) if (s == (in_warps ? WARP : BLOCK)) s = READY;
        }
    }
}
}

inline void __syncwarp(unsigned = ~0u) { cudacpu::wait(cudacpu::WARP); }
inline void __syncthreads() { cudacpu::wait(cudacpu::BLOCK); }
inline void __threadfence() {}
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline long long __double_as_longlong(double x) { long long bits; memcpy(&bits, &x, 8); return bits; }
inline double __longlong_as_double(long long bits) { double x; memcpy(&x, &bits, 8); return x; }
inline float __fdividef(float a, float b) { return a / b; }
template <class T, class U> inline T atomicAdd(T *p, U v) { T old = *p; *p = (T)(*p + (T)v); return old; }
template <class T, class U> inline T atomicSub(T *p, U v) { T old = *p; *p -= (T)v; return old; }
template <class T, class U> inline T atomicMax(T *p, U v) { T old = *p; if ((T)v > old) *p = (T)v; return old; }
template <class T, class U> inline T atomicMin(T *p, U v) { T old = *p; if ((T)v < old) *p = (T)v; return old; }

namespace cudacpu {                                // sizes of a kernel's arguments, so that they can be copied
template <class... A> int sizes(void (*)(A...), size_t *out) {
    size_t all[] = {sizeof(std::remove_reference_t<A>)..., 0};
    for (size_t i = 0; i < sizeof...(A); i++) out[i] = all[i];
    return sizeof...(A);
}
}
namespace cudacpu {                                // call a kernel with CUDA's void** of pointers to its arguments
template <class... A, size_t... I> void unpack(void (*f)(A...), void **p, std::index_sequence<I...>) {
    f(*(std::remove_reference_t<A> *)p[I]...);
}
template <class... A> void entry_with_barriers(void (*f)(A...), void **p, unsigned grid, unsigned block) {
    launch(grid, block, [=] { unpack(f, p, std::index_sequence_for<A...>{}); });
}
template <class... A> void entry(void (*f)(A...), void **p, unsigned grid, unsigned block) {   // nobody waits: plain loops
    gridDim.x = grid; blockDim.x = block;
    for (unsigned b = 0; b < grid; ++b)
        for (unsigned i = 0; i < block; ++i) {
            blockIdx.x = b; threadIdx.x = in_order(i, block);
            unpack(f, p, std::index_sequence_for<A...>{});
        }
}
}

#ifndef CUDACPU_CUPY                               // 16-bit numbers; CuPy's own sources bring CUDA's
struct __half {
    _Float16 value;
    __half() = default;
    __half(float x) : value((_Float16)x) {}
    operator float() const { return (float)value; }
};
struct __nv_bfloat16 {                             // the upper half of a float, rounded to even
    uint16_t bits;
    __nv_bfloat16() = default;
    __nv_bfloat16(float x) {
        uint32_t all;
        memcpy(&all, &x, 4);
        bits = x != x ? 0x7FC0 : (all + 0x7FFF + (all >> 16 & 1)) >> 16;
    }
    operator float() const { uint32_t all = (uint32_t)bits << 16; float x; memcpy(&x, &all, 4); return x; }
};
#endif

#ifdef CUDACPU_CUPY                                // what CuPy's own sources need besides
#include <complex>
#include <limits>
using std::isnan; using std::isinf; using std::isfinite; using std::signbit; using std::min; using std::max;
using std::complex; using std::norm; using std::real; using std::imag; using std::conj; using std::arg;
#define __CUDACC_VER_MAJOR__ 13
#define __launch_bounds__(...)
inline int __float_as_int(float f) { int i; memcpy(&i, &f, 4); return i; }
inline float __int_as_float(int i) { float f; memcpy(&f, &i, 4); return f; }
static const unsigned warpSize = 32;
#endif
