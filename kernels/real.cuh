// What all kernel files share: the types of a variant, and reading a strided view (batch, item, width).
//
//   IN     what lies in memory: float, double, __half or __nv_bfloat16 (the last two with GN_HALF defined)
//   REAL   what is computed in: float, or double for double
//
// Two rules let the same source run on a CPU in the tests: dynamic shared memory through GN_DYNAMIC_SHARED only, and
// no inline PTX. Strides are counted in elements; all positions are 64-bit.
#pragma once

#ifndef REAL
#define REAL double
#endif
#ifndef IN
#define IN REAL
#endif
#ifndef OUT
#define OUT IN
#endif

#ifdef GN_HALF
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#endif

#ifndef GN_DYNAMIC_SHARED
#define GN_DYNAMIC_SHARED(T, name)                                     \
    extern __shared__ __align__(16) unsigned char gn_dynamic_shared[]; \
    T* name = reinterpret_cast<T*>(gn_dynamic_shared)
#endif

#define GN_ALL_LANES 0xffffffffu
#define GN_NAN __longlong_as_double(0x7ff8000000000000LL)

namespace gn {

// Elements that one thread reads side by side: 16 bytes.
constexpr int PACK = 16 / sizeof(IN);

template <class T, int N>
struct __align__(16) Pack {
    T at[N];
};

__device__ __forceinline__ void convert(float v, float& to) { to = v; }
__device__ __forceinline__ void convert(float v, double& to) { to = v; }
__device__ __forceinline__ void convert(double v, double& to) { to = v; }
__device__ __forceinline__ void convert(double v, float& to) { to = (float)v; }
#ifdef GN_HALF
template <class T>
__device__ __forceinline__ void convert(__half v, T& to) { to = __half2float(v); }
template <class T>
__device__ __forceinline__ void convert(__nv_bfloat16 v, T& to) { to = __bfloat162float(v); }
__device__ __forceinline__ void convert(float v, __half& to) { to = __float2half_rn(v); }
__device__ __forceinline__ void convert(float v, __nv_bfloat16& to) { to = __float2bfloat16_rn(v); }
#endif

template <class To, class From>
__device__ __forceinline__ To as(From v) {
    To to;
    convert(v, to);
    return to;
}

__device__ __forceinline__ bool aligned16(const void* p) { return (reinterpret_cast<unsigned long long>(p) & 15) == 0; }

// a / b and a % b; the 32-bit division is several times faster and nearly always enough.
__device__ __forceinline__ void divide(long long a, long long b, long long& quotient, long long& rest) {
    if (((a | b) >> 31) == 0) {
        const unsigned q = (unsigned)a / (unsigned)b;
        quotient = q;
        rest = (unsigned)a - q * (unsigned)b;
    } else {
        quotient = a / b;
        rest = a - quotient * b;
    }
}

// Sum over the `lanes` (a power of two, <= 32) threads of a team: a butterfly, so that every lane has the same bits.
template <class T>
__device__ __forceinline__ T team_sum(T v, int lanes) {
    for (int step = lanes >> 1; step > 0; step >>= 1) v += __shfl_xor_sync(GN_ALL_LANES, v, step);
    return v;
}

}  // namespace gn
