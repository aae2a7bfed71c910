// Values as integer keys that order as they do, where the elements of a segment lie, and what a sorted segment says.
#pragma once
#include "real.cuh"

namespace {

typedef unsigned long long Key;
constexpr Key LAST = ~0ull;  // behind every value: what is not observed

// Keys order as values do; -0 equals 0.
__device__ __forceinline__ Key key_of(double x) {
    const Key bits = (Key)__double_as_longlong(x + 0.0);
    return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}

__device__ __forceinline__ double value_of(Key key) {
    return __longlong_as_double((long long)(key >> 63 ? key ^ 0x8000000000000000ull : ~key));
}

// No fused multiply-add: the last bit must be NumPy's.
__device__ __forceinline__ double product(double a, double b) {
#ifdef GN_CPU_SHIM
    return a * b;
#else
    return __dmul_rn(a, b);
#endif
}

struct Elements {
    const IN* values;
    const bool* use;
    const double* weights;
    const int* order;
    long long item_stride, place_stride, use_stride, weight_stride;
    long long first, width, count;
    double centre;
    bool distance;

    __device__ long long item(long long j) const { return order ? (long long)order[first + j] : first + j; }

    __device__ double weight(long long e) const {
        return weights[item((unsigned)e / (unsigned)width) * weight_stride];
    }

    // Key of element e, or LAST.
    __device__ Key key(long long e) const {
        // The launch sees to it that a segment has less than 2^31 elements: no 64-bit division for each.
        const unsigned j = (unsigned)e / (unsigned)width, place = (unsigned)e - j * (unsigned)width;
        const long long i = item(j);
        const double x = gn::as<double>(values[i * item_stride + (long long)place * place_stride]);
        if (!isfinite(x) || (use && !use[i * use_stride]) || (weights && !(weights[i * weight_stride] > 0))) return LAST;
        return key_of(distance ? fabs(x - centre) : x);
    }
};

// First position in [low, high) of ascending keys that holds no key < `key` (with `after`: none <= `key`), or high.
template <class I>
__device__ __forceinline__ I first_from(const Key* keys, I low, I high, Key key, bool after = false) {
    while (low < high) {
        const I middle = low + ((high - low) >> 1);
        if (keys[middle] < key || (after && keys[middle] == key)) low = middle + 1;
        else high = middle;
    }
    return low;
}

// How many of the sorted keys are values.
template <class I>
__device__ __forceinline__ I observed(const Key* keys, I room) {
    return first_from(keys, I(0), room, LAST);
}

__device__ __forceinline__ double middle(double lower, double upper) {
    return upper == lower ? upper : 0.5 * lower + 0.5 * upper;  // halves first: two huge values must not overflow
}

// Position of a quantile among n values (null: of the lower middle), and how far it lies on the way to the next one.
__device__ __forceinline__ long long rank_of(const double* probability, long long n, double* share = nullptr) {
    if (!probability) return (n - 1) / 2;
    const double at = product((double)(n - 1), *probability), below = floor(at);
    if (share) *share = at - below;
    return (long long)below;
}

// The quantile, from the values at that position and at the next (the same one at the end).
__device__ __forceinline__ double quantile(const double* probability, long long n, double below, double above) {
    if (!probability) return n & 1 ? below : middle(below, above);
    double share = 0;
    rank_of(probability, n, &share);
    return below + product(share, above - below);
}

__device__ void from_sorted(const Key* keys, long long n, const double* probabilities, int count, double* result, int thread, int threads) {
    for (int p = thread; p < count; p += threads) {
        const double* probability = probabilities ? probabilities + p : nullptr;
        const long long low = n ? rank_of(probability, n) : 0, high = low + 1 < n ? low + 1 : low;
        result[p] = n ? quantile(probability, n, value_of(keys[low]), value_of(keys[high])) : GN_NAN;
    }
}

}  // namespace
