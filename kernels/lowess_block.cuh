// What the two lowess paths share: a stable sort by one block, sums in a fixed order, searches in sorted x.
//
// Nothing here depends on the number of threads: a sort has one result, a sum is taken item after item by one thread
// or as 32 partial sums (items l, l + 32, l + 64, ... of lane l) that are added up in one order.
#pragma once

#ifndef SHARED_MEMORY  // 1: keys and values of a segment lie in shared memory, 0: in global memory
#define SHARED_MEMORY 1
#endif

#ifndef GN_DYNAMIC_SHARED
#define GN_DYNAMIC_SHARED(T, name)                                      \
    extern __shared__ __align__(16) unsigned char gn_dynamic_shared_[]; \
    T* name = reinterpret_cast<T*>(gn_dynamic_shared_)
#endif

namespace lowess {

typedef unsigned long long Key;

constexpr Key LAST = ~0ull;                  // sorts behind every number and NaN
constexpr Key NAN_KEY = 0x7ff8000000000000;  // one NaN for all, so that they keep their order
constexpr int LONG = 1024;                   // segments of more items sum their windows by 32 lanes
constexpr int TILE = 256;                    // values fetched at a time for the thread that adds in order
constexpr int SORT_TILE = 2048;              // part of a segment in global memory that is sorted in shared memory

// The segment that a block works on, sorted by x: n items of x, y, prior weight, and, from pass to pass, robustness
// weight or absolute residual. key and index hold a power of two of entries.
struct Work {
    int n;
    double *x, *y, *weight, *robust;
    Key* key;
    int* index;
    Key* tile_key;  // null where key and index themselves lie in shared memory
    int* tile_index;
    double* tile;
};

// The evaluated points of the segment, ascending, with their windows; in global memory.
struct Curve {
    int *item, *left, *length;
    double *reach, *x, *fit;
};

// Numbers that one thread finds and all read.
struct Shared {
    int count;   // evaluated points
    int middle;  // place of the weighted median, and whether exactly half of the weight lies up to it
    int exact;
    double low, high, mean, total, delta;
};

__device__ __forceinline__ int power_of_two(int n) {
    int p = 1;
    while (p < n) p <<= 1;
    return p;
}

// Integers that ascend with the doubles; the two zeros are equal.
__device__ __forceinline__ Key ascending(double v) {
    const Key bits = static_cast<Key>(__double_as_longlong(v + 0.0));
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

// The same for numbers >= 0, kept readable as doubles; NaN last.
__device__ __forceinline__ Key positive_key(double v) {
    return v == v ? static_cast<Key>(__double_as_longlong(v)) : NAN_KEY;
}

__device__ __forceinline__ double value_of(Key key) { return __longlong_as_double(static_cast<long long>(key)); }

// ---------------------------------------------------------------------------------------------- sort

// One step of a bitonic sort on entries origin ... origin + size of the whole; ends with a barrier.
template <bool INDEXED>
__device__ __forceinline__ void sort_step(Key* key, int* index, int size, int origin, int run, int apart) {
    for (int t = threadIdx.x; t < size / 2; t += blockDim.x) {
        const int i = (t & ~(apart - 1)) << 1 | (t & (apart - 1)), j = i | apart;
        const bool up = ((origin + i) & run) == 0;
        const Key a = key[i], b = key[j];
        const bool greater = a > b || (INDEXED && a == b && index[i] > index[j]);
        if (greater == up) {
            key[i] = b;
            key[j] = a;
            if (INDEXED) {
                const int other = index[i];
                index[i] = index[j];
                index[j] = other;
            }
        }
    }
    __syncthreads();
}

// Steps `apart`, apart / 2, ..., 1 of the runs first, 2 first, ..., last, each tile brought into shared memory.
template <bool INDEXED>
__device__ void sort_tiles(const Work& work, int size, int first, int last) {
    const int tile = size < SORT_TILE ? size : SORT_TILE;
    for (int origin = 0; origin < size; origin += tile) {
        for (int i = threadIdx.x; i < tile; i += blockDim.x) {
            work.tile_key[i] = work.key[origin + i];
            if (INDEXED) work.tile_index[i] = work.index[origin + i];
        }
        __syncthreads();
        for (int run = first; run <= last; run <<= 1)
            for (int apart = run > tile ? tile >> 1 : run >> 1; apart > 0; apart >>= 1)
                sort_step<INDEXED>(work.tile_key, work.tile_index, tile, origin, run, apart);
        for (int i = threadIdx.x; i < tile; i += blockDim.x) {
            work.key[origin + i] = work.tile_key[i];
            if (INDEXED) work.index[origin + i] = work.tile_index[i];
        }
        __syncthreads();
    }
}

// Sort `size` keys, a power of two; INDEXED: with their indexes, which order equal keys. Call after a barrier.
template <bool INDEXED>
__device__ void sort(const Work& work, int size) {
#if SHARED_MEMORY
    for (int run = 2; run <= size; run <<= 1)
        for (int apart = run >> 1; apart > 0; apart >>= 1)
            sort_step<INDEXED>(work.key, work.index, size, 0, run, apart);
#else
    const int tile = size < SORT_TILE ? size : SORT_TILE;
    sort_tiles<INDEXED>(work, size, 2, tile);
    for (int run = 2 * tile; run <= size; run <<= 1) {
        for (int apart = run >> 1; apart >= tile; apart >>= 1)
            sort_step<INDEXED>(work.key, work.index, size, 0, run, apart);
        sort_tiles<INDEXED>(work, size, run, run);
    }
#endif
}

// ---------------------------------------------------------------------------------------------- sums

// Thread 0 calls step(i, value(i)) for i = 0, 1, ... until it returns true; all threads fetch values for it.
template <class Value, class Step>
__device__ __forceinline__ void in_order(double* tile, int n, Value value, Step step) {
    for (int origin = 0; origin < n; origin += TILE) {
        const int size = n - origin < TILE ? n - origin : TILE;
        for (int t = threadIdx.x; t < size; t += blockDim.x) tile[t] = value(origin + t);
        __syncthreads();
        bool stop = false;
        if (threadIdx.x == 0)
            for (int t = 0; t < size && !stop; ++t) stop = step(origin + t, tile[t]);
        if (__syncthreads_or(stop)) return;
    }
}

// Sum over the lanes of a warp, the same in all of them; with one lane its own value.
template <int LANES>
__device__ __forceinline__ double over_lanes(double v) {
    if (LANES == 32)
        for (int apart = 16; apart > 0; apart >>= 1) v += __shfl_xor_sync(0xffffffffu, v, apart);
    return v;
}

template <int LANES>
__device__ __forceinline__ int lane_of() {
    return LANES == 32 ? static_cast<int>(threadIdx.x) & 31 : 0;
}

// Mean of n values, by the first warp; call by all threads and set a barrier behind it.
__device__ __forceinline__ void mean_of(const double* values, int n, double* mean) {
    if (threadIdx.x >= 32) return;
    double sum = 0.0;
    for (int i = threadIdx.x; i < n; i += 32) sum += values[i];
    sum = over_lanes<32>(sum);
    if (threadIdx.x == 0) *mean = sum / n;
}

// ---------------------------------------------------------------------------------------------- searches

// First of items low ... high - 1 whose x exceeds v (EQUAL: or equals it), else high.
template <bool EQUAL>
__device__ __forceinline__ int first_beyond(const double* x, int low, int high, double v) {
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (EQUAL ? x[middle] >= v : x[middle] > v) high = middle;
        else low = middle + 1;
    }
    return low;
}

// Number of the last evaluated point at or before item i.
__device__ __forceinline__ int point_before(const int* item, int count, int i) {
    int low = 0, high = count - 1;
    while (low < high) {
        const int middle = low + (high - low + 1) / 2;
        if (item[middle] <= i) low = middle;
        else high = middle - 1;
    }
    return low;
}

// The points reached from item 0 by i -> index[i]. Call after a barrier; ends with one.
__device__ __forceinline__ void follow(const Work& work, const Curve& curve, Shared& shared) {
    if (threadIdx.x == 0) {
        int count = 0;
        for (int i = 0; i < work.n; i = work.index[i]) curve.item[count++] = i;
        shared.count = count;
    }
    __syncthreads();
}

// ---------------------------------------------------------------------------------------------- small segments

// The items themselves as knots; equal x share the mean of their y. By one thread: n < 1 / span.
__device__ __forceinline__ void points(const Work& work, const Curve& curve, Shared& shared) {
    if (threadIdx.x == 0) {
        int count = 0;
        for (int i = 0, j; i < work.n; i = j) {
            double sum = 0.0;
            for (j = i; j < work.n && work.x[j] == work.x[i]; ++j) sum += work.y[j];
            curve.item[count] = i;
            curve.fit[count++] = sum / (j - i);
        }
        shared.count = count;
    }
    __syncthreads();
}

// Weighted straight line: knots at both ends, one where all x are equal. By one thread: n < 4 + 1 / span.
__device__ __forceinline__ void line(const Work& work, const Curve& curve, Shared& shared) {
    if (threadIdx.x == 0) {
        const double *x = work.x, *y = work.y, *w = work.weight;
        const int end = work.n - 1;
        double sum_w = 0.0, mean_x = 0.0, mean_y = 0.0, length = 0.0, variance = 0.0, covariance = 0.0;
        for (int i = 0; i <= end; ++i) {
            sum_w += w[i];
            mean_x += w[i] * x[i];
            mean_y += w[i] * y[i];
            length += w[i] * x[i] * x[i];
        }
        mean_x /= sum_w;
        mean_y /= sum_w;
        for (int i = 0; i <= end; ++i) {
            const double moved = w[i] * (x[i] - mean_x);
            variance += moved * (x[i] - mean_x);
            covariance += moved * (y[i] - mean_y);
        }
        // R's least squares drops a slope whose column keeps less than 1e-7 of its length beside the intercept.
        const bool sloped = x[0] < x[end] && variance >= 1e-14 * length;
        const double slope = sloped ? covariance / variance : 0.0;
        curve.item[0] = 0;
        curve.fit[0] = mean_y + slope * (x[0] - mean_x);
        shared.count = 1;
        if (x[end] > x[0]) {
            curve.item[1] = end;
            curve.fit[1] = mean_y + slope * (x[end] - mean_x);
            shared.count = 2;
        }
    }
    __syncthreads();
}

}  // namespace lowess
