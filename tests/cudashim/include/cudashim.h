// cudashim: builds ordinary CUDA C++ kernel sources with g++/clang++ and runs them on the CPU,
// one fiber per CUDA thread.  Force-included before the .cu file (which is wrapped in an anonymous
// namespace).  Everything that must stay invisible to the sanitizers lives in runtime.cpp.
#pragma once
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#define GN_CPU_SHIM 1
#ifndef __CUDA_ARCH__
#define __CUDA_ARCH__ 900
#endif

// ---------------------------------------------------------------- qualifiers
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __maxnreg__(...)
#define __cluster_dims__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#ifndef __restrict__
#define __restrict__ __restrict
#endif
#if defined(CUDASHIM_STATIC_SHARED)   // ASan build: plain statics get red zones
#define __shared__ static
#else                                 // fast / TSan build: one copy per worker thread
#define __shared__ static thread_local
#endif
#define GN_DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(cudashim_dynamic_shared())

// ---------------------------------------------------------------- built-in vector types
#define CUDASHIM_V2(N, T, A) struct __align__(A) N { T x, y; };
#define CUDASHIM_V4(N, T, A) struct __align__(A) N { T x, y, z, w; };
CUDASHIM_V2(float2, float, 8) CUDASHIM_V4(float4, float, 16)
CUDASHIM_V2(double2, double, 16)
CUDASHIM_V2(int2, int, 8) CUDASHIM_V4(int4, int, 16)
CUDASHIM_V2(uint2, unsigned, 8) CUDASHIM_V4(uint4, unsigned, 16)
CUDASHIM_V2(longlong2, long long, 16)
CUDASHIM_V2(ushort2, unsigned short, 4) CUDASHIM_V4(ushort4, unsigned short, 8)
CUDASHIM_V2(uchar2, unsigned char, 2) CUDASHIM_V2(char2, signed char, 2) CUDASHIM_V4(char4, signed char, 4)
CUDASHIM_V2(short2, short, 4) CUDASHIM_V4(short4, short, 8)
CUDASHIM_V4(uchar4, unsigned char, 4)
struct __align__(16) double4 { double x, y, z, w; };
struct float3 { float x, y, z; };
struct int3 { int x, y, z; };
struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline longlong2 make_longlong2(long long x, long long y) { return {x, y}; }
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// ---------------------------------------------------------------- thread context and runtime calls
struct CudashimThread { uint3 threadIdx, blockIdx; dim3 blockDim, gridDim; int lane, warp; };
extern "C" {
extern __thread CudashimThread* cudashim_tc __attribute__((tls_model("initial-exec")));
void* cudashim_dynamic_shared(void);
int cudashim_block_barrier(int kind, int pred, const char* file, int line);  // 0 plain 1 count 2 and 3 or
void cudashim_warp_barrier(unsigned mask, const char* file, int line);
void cudashim_shfl(int op, unsigned mask, int arg, int width, void* val, int size, const char* file, int line);
unsigned cudashim_vote(int op, unsigned mask, int pred, const char* file, int line);  // 0 ballot 1 any 2 all
void cudashim_fence(int scope);
[[noreturn]] void cudashim_trap(const char* what, const char* file, int line);
}
#define threadIdx (cudashim_tc->threadIdx)
#define blockIdx (cudashim_tc->blockIdx)
#define blockDim (cudashim_tc->blockDim)
#define gridDim (cudashim_tc->gridDim)
#define warpSize 32

#define __syncthreads() ((void)cudashim_block_barrier(0, 0, __FILE__, __LINE__))
#define __syncthreads_count(p) cudashim_block_barrier(1, !!(p), __FILE__, __LINE__)
#define __syncthreads_and(p) cudashim_block_barrier(2, !!(p), __FILE__, __LINE__)
#define __syncthreads_or(p) cudashim_block_barrier(3, !!(p), __FILE__, __LINE__)
struct CudashimSyncwarp { const char* f; int l; void operator()(unsigned mask = 0xffffffffu) const { cudashim_warp_barrier(mask, f, l); } };
#define __syncwarp CudashimSyncwarp{__FILE__, __LINE__}

template <class T>
inline T cudashim_shfl_(int op, const char* f, int l, unsigned mask, T v, int arg, int width = 32) {
    static_assert(std::is_trivially_copyable<T>::value && (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8),
                  "CUDA shuffles take 2-, 4- or 8-byte values");
    cudashim_shfl(op, mask, arg, width, &v, sizeof(T), f, l);
    return v;
}
#define __shfl_sync(...) cudashim_shfl_(0, __FILE__, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) cudashim_shfl_(1, __FILE__, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) cudashim_shfl_(2, __FILE__, __LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) cudashim_shfl_(3, __FILE__, __LINE__, __VA_ARGS__)
#define __ballot_sync(m, p) cudashim_vote(0, m, !!(p), __FILE__, __LINE__)
#define __any_sync(m, p) ((int)cudashim_vote(1, m, !!(p), __FILE__, __LINE__))
#define __all_sync(m, p) ((int)cudashim_vote(2, m, !!(p), __FILE__, __LINE__))
#define __threadfence() cudashim_fence(1)
#define __threadfence_block() cudashim_fence(0)
#define __threadfence_system() cudashim_fence(2)
#define __trap() cudashim_trap("__trap()", __FILE__, __LINE__)
#undef assert
#define assert(c) ((c) ? (void)0 : cudashim_trap("device assert: " #c, __FILE__, __LINE__))

// ---------------------------------------------------------------- atomics (relaxed, as on the GPU)
template <class T> inline T atomicAdd(T* p, typename std::common_type<T>::type v) {
    if constexpr (std::is_integral<T>::value) return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
    else {
        using U = typename std::conditional<sizeof(T) == 8, uint64_t, typename std::conditional<sizeof(T) == 4, uint32_t, uint16_t>::type>::type;
        U* q = reinterpret_cast<U*>(p), o = __atomic_load_n(q, __ATOMIC_RELAXED), n;
        T a, b;
        do { std::memcpy(&a, &o, sizeof a); b = a + v; std::memcpy(&n, &b, sizeof b); }
        while (!__atomic_compare_exchange_n(q, &o, n, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
        return a;
    }
}
#define CUDASHIM_RMW(NAME, EXPR)                                                                  \
    template <class T> inline T NAME(T* p, typename std::common_type<T>::type v) {                \
        T o = __atomic_load_n(p, __ATOMIC_RELAXED);                                               \
        while (!__atomic_compare_exchange_n(p, &o, (T)(EXPR), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {} \
        return o;                                                                                 \
    }
CUDASHIM_RMW(atomicSub, o - v) CUDASHIM_RMW(atomicMin, o < v ? o : v) CUDASHIM_RMW(atomicMax, o > v ? o : v)
CUDASHIM_RMW(atomicAnd, o & v) CUDASHIM_RMW(atomicOr, o | v) CUDASHIM_RMW(atomicXor, o ^ v)
CUDASHIM_RMW(atomicInc, o >= v ? 0 : o + 1)
template <class T> inline T atomicCAS(T* p, T c, T v) { __atomic_compare_exchange_n(p, &c, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED); return c; }
template <class T> inline T atomicExch(T* p, T v) { T o; __atomic_exchange(p, &v, &o, __ATOMIC_RELAXED); return o; }

// ---------------------------------------------------------------- device maths and intrinsics
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __saturatef(float x) { return x < 0.f || x != x ? 0.f : x > 1.f ? 1.f : x; }
inline int __float_as_int(float x) { int r; std::memcpy(&r, &x, 4); return r; }
inline float __int_as_float(int x) { float r; std::memcpy(&r, &x, 4); return r; }
inline unsigned __float_as_uint(float x) { unsigned r; std::memcpy(&r, &x, 4); return r; }
inline float __uint_as_float(unsigned x) { float r; std::memcpy(&r, &x, 4); return r; }
inline long long __double_as_longlong(double x) { long long r; std::memcpy(&r, &x, 8); return r; }
inline double __longlong_as_double(long long x) { double r; std::memcpy(&r, &x, 8); return r; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double x) { return std::sqrt(x); }
inline float __fsub_rn(float a, float b) { return a - b; }
inline long long __float2ll_rd(float x) { return (long long)std::floor(x); }
inline long long __double2ll_rd(double x) { return (long long)std::floor(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) { unsigned r = 0; for (int i = 0; i < 32; ++i) r |= ((x >> i) & 1u) << (31 - i); return r; }
template <class T> inline T __ldg(const T* p) { return *p; }
template <class T> inline T __ldcs(const T* p) { return *p; }
template <class T> inline T __ldcg(const T* p) { return *p; }
template <class T> inline void __stcs(T* p, T v) { *p = v; }
template <class T> inline void __stcg(T* p, T v) { *p = v; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline unsigned long long min(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
inline unsigned long long max(unsigned long long a, unsigned long long b) { return a > b ? a : b; }
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
using std::fabs; using std::isnan; using std::isinf; using std::isfinite; using std::sqrt;
#include "cuda_fp16.h"
#include "cuda_bf16.h"

// ---------------------------------------------------------------- kernel table (written by build.py)
struct CudashimKernel { const char* name; const char* signature; void (*invoke)(void** args); };
namespace cudashim {
template <class T> struct Code {
    static constexpr char kind = std::is_same<T, bool>::value ? 'b' : std::is_same<T, __nv_bfloat16>::value ? 'w' : std::is_same<T, __half>::value || std::is_floating_point<T>::value ? 'f'
        : std::is_integral<T>::value ? (std::is_signed<T>::value ? 'i' : 'u') : 'V';
    static void put(char*& o) { *o++ = kind; o += std::sprintf(o, "%d", (int)sizeof(T)); }
};
template <class T> struct Code<T*> {
    static void put(char*& o) { *o++ = std::is_const<T>::value ? 'c' : 'p'; Code<typename std::remove_cv<T>::type>::put(o); }
};
template <> struct Code<void*> { static void put(char*& o) { o += std::sprintf(o, "pV0"); } };
template <> struct Code<const void*> { static void put(char*& o) { o += std::sprintf(o, "cV0"); } };
template <auto K> struct Entry;
template <class... A, void (*K)(A...)> struct Entry<K> {
    template <std::size_t... I> static void call(void** a, std::index_sequence<I...>) {
        (void)a; K(*static_cast<typename std::remove_reference<A>::type*>(a[I])...);
    }
    static void invoke(void** a) { call(a, std::index_sequence_for<A...>{}); }
    static const char* signature() {
        static char buf[16 * (sizeof...(A) + 1)];
        char* o = buf;
        ((Code<typename std::remove_cv<A>::type>::put(o), *o++ = ','), ...);
        if (o != buf) --o;
        *o = 0;
        return buf;
    }
};
}  // namespace cudashim
