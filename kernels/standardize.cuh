// What the forward and the backward of standardize share: the numbers of a call, the affine map, the activations.
#pragma once
#include "moments.cuh"

// Everything about a call that is a number, by value; `CALL` in gridnorm/core/engines/cuda/call.py has the same fields.
// Strides in elements: of values, residual (backward: of grad), total, out (backward: of dx) and weights along
// (batch, item, place); of gain and offset along (batch, item).
struct Call {
    long long batch, items, width, segments;
    long long values_batch, values_item, values_place;
    long long second_batch, second_item, second_place;
    long long total_batch, total_item, total_place;
    long long out_batch, out_item, out_place;
    long long weights_batch, weights_item, weights_place;
    long long gain_batch, gain_item, offset_batch, offset_item;
    long long items_inside, center, activation, weighted;
    double eps;
};

namespace {

enum { NOTHING = 0, SILU = 1, RELU = 2, GELU = 3 };

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float error_function(float x) { return erff(x); }
__device__ __forceinline__ double error_function(double x) { return erf(x); }

__device__ __forceinline__ REAL activated(REAL z, int activation) {
    if (activation == SILU) return z / (1 + exponential(-z));
    if (activation == RELU) return z < 0 ? REAL(0) : z;  // NaN stays NaN
    if (activation == GELU) return REAL(0.5) * z * (1 + error_function(z * REAL(0.70710678118654752440)));
    return z;
}

// Derivative of the activation.
__device__ __forceinline__ REAL slope(REAL z, int activation) {
    if (activation == SILU) {
        const REAL part = 1 / (1 + exponential(-z));
        return part + (part > 0 ? z * part * (1 - part) : REAL(0));
    }
    if (activation == RELU) return z > 0 ? REAL(1) : z <= 0 ? REAL(0) : z;
    if (activation == GELU)
        return REAL(0.5) * (1 + error_function(z * REAL(0.70710678118654752440))) + z * REAL(0.39894228040143267794) * exponential(REAL(-0.5) * z * z);
    return 1;
}

// Statistics of a segment as its elements meet them: mean = k + d.
struct Stat {
    REAL k, d, r;
};

__device__ __forceinline__ Stat stat(double mean, REAL rstd) {
    const REAL k = (REAL)mean, d = (REAL)(mean - (double)k);
    return {k, isfinite(d) ? d : REAL(0), rstd};
}

__device__ __forceinline__ REAL standard(REAL x, const Stat& s) { return ((x - s.k) - s.d) * s.r; }

// gain and offset of one batch entry; either may be null.
struct Affine {
    const REAL *gain, *offset;
    long long gain_item, offset_item;

    __device__ REAL gain_of(long long item) const { return gain ? gain[item * gain_item] : REAL(1); }
    __device__ REAL offset_of(long long item) const { return offset ? offset[item * offset_item] : REAL(0); }
};

__device__ __forceinline__ Affine affine(const Call& c, const REAL* gain, const REAL* offset, long long b) {
    return {gain ? gain + b * c.gain_batch : nullptr, offset ? offset + b * c.offset_batch : nullptr, c.gain_item, c.offset_item};
}

}  // namespace
