// Lowess curves of (batch, segment) pairs: limma's loessFit, all robust passes on the device, one block a curve.
//
// Shapes    y, x, weights, use (batch, item), each with two strides in elements (0 for rows that are all the same);
//           use, and without WEIGHTED weights, may be null. order (item,): positions by segment, null where segments
//           are contiguous; offsets (segment + 1,).
//           segments (chosen,): the segments of this launch; batch rows × chosen blocks, b = block / chosen.
//           out n, count (batch, segment): items in the fit, knots. knot_x, knot_y, item, left, length, reach
//           (batch, item): the knots of segment g of row b stand from b * item + offsets[g] on; the last four are
//           scratch (length, reach: only with WEIGHTED).
// Launch    grid (rows × chosen), block any multiple of 32 up to 128 (512 with SHARED_MEMORY 0). Evaluated points and
//           items are spread over the threads; in segments of more than 1024 observed items a warp takes a point.
// Memory    SHARED_MEMORY 1, segments of up to 1024 items: dynamic shared memory, 12 bytes × the power of two ≥ the
//           largest segment + 24 bytes (32 with WEIGHTED) × its items. SHARED_MEMORY 0: the same in `scratch`, at
//           starts[chosen] + row_scratch * b in units of 8 bytes; shared memory 12 bytes × 2048 for sorting.
// Numbers   float64. limma's branches follow from comparisons of rounded values, so this file must be compiled without
//           contraction of products and sums (NVRTC --fmad=false; where a fused operation is wanted it is written so).
// Same bits A curve depends on its own observed items only: never on threads, batch, class of size or card. Windows of
//           up to 1024 items' segments are summed in ascending order by one thread, as the NumPy twin
//           (gridnorm/core/engines/numpy/lowess.py) does; longer ones as 32 partial sums in fixed order. No atomics.
// Planted mistakes for the checkers: GN_PLANT_LOWESS_NO_BARRIER (a race, in the unweighted curve) and
//           GN_PLANT_LOWESS_BOUNDS (reads one item too far).
#ifndef WEIGHTED
#define WEIGHTED 1
#endif

#include "lowess_plain.cuh"
#include "lowess_weighted.cuh"

namespace lowess {

// Where the items of a segment lie.
struct Source {
    const double *y_row, *x_row, *weights_row;
    const unsigned char* use_row;
    long long y_step, x_step, weights_step, use_step;
    const int* order;
    long long first;
    int size, exclude;

    __device__ __forceinline__ long long item(int i) const { return order ? order[first + i] : first + i; }
    __device__ __forceinline__ double y(long long item) const { return y_row[item * y_step]; }
    __device__ __forceinline__ double x(long long item) const { return x_row[item * x_step]; }
    __device__ __forceinline__ double weight(long long item) const { return weights_row[item * weights_step]; }

    __device__ __forceinline__ bool observed(long long item) const {
        if (use_row && !use_row[item * use_step]) return false;
        if (exclude && !(weight(item) > 0.0)) return false;
        return y(item) - y(item) == 0.0 && x(item) - x(item) == 0.0;
    }
};

// Read the items that enter the fit, sorted by x, equal x in their order; returns how many.
__device__ __forceinline__ int load(const Source& source, Work& work) {
    const int padded = power_of_two(source.size);
    int size = source.size;
#ifdef GN_PLANT_LOWESS_BOUNDS
    ++size;
#endif
    int n = 0;
    for (int origin = 0; origin < padded; origin += blockDim.x) {
        const int i = origin + threadIdx.x;
        bool keep = false;
        if (i < padded) {
            Key key = LAST;
            if (i < size) {
                const long long at = source.item(i);
                keep = source.observed(at);
                if (keep) key = ascending(source.x(at));
            }
            work.key[i] = key;
            work.index[i] = i;
        }
        n += __syncthreads_count(keep);
    }
    work.n = n;
    sort<true>(work, padded);
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        const long long at = source.item(work.index[i]);
        work.x[i] = source.x(at);
        work.y[i] = source.y(at);
        if (WEIGHTED) {
            const double w = source.weight(at);
            work.weight[i] = w > 1e-5 ? (w < 1e5 ? w : 1e5) : 1e-5;  // NaN counts as 0
        }
    }
    __syncthreads();
    return n;
}

// Whether the weights differ. By the first warp; ends with a barrier.
__device__ __forceinline__ bool unequal(const Work& work, Shared& shared) {
    if (threadIdx.x < 32) {
        double low = work.weight[0], high = low;
        for (int i = threadIdx.x; i < work.n; i += 32) {
            const double w = work.weight[i];
            low = w < low ? w : low;
            high = w > high ? w : high;
        }
        for (int apart = 16; apart > 0; apart >>= 1) {
            const double other_low = __shfl_xor_sync(0xffffffffu, low, apart);
            const double other_high = __shfl_xor_sync(0xffffffffu, high, apart);
            low = other_low < low ? other_low : low;
            high = other_high > high ? other_high : high;
        }
        if (threadIdx.x == 0) {
            shared.low = low;
            shared.high = high;
        }
    }
    __syncthreads();
    return shared.high - shared.low >= 1e-15;
}

// Which rule of loessFit the segment follows.
__device__ __forceinline__ void fit(
    const Work& work, const Curve& curve, double span, int iterations, int npts, Shared& shared) {
    const int n = work.n;
    if (span < 1.0 / n) {
        points(work, curve, shared);
        return;
    }
#if WEIGHTED
    if (unequal(work, shared)) {
        if (n < 4 + 1.0 / span) line(work, curve, shared);
        else weighted_curve(work, curve, span, iterations, npts, shared);
        return;
    }
#endif
    plain_curve(work, curve, span, iterations, shared);
}

}  // namespace lowess

extern "C" __global__ void __launch_bounds__(SHARED_MEMORY ? 128 : 512, SHARED_MEMORY ? 4 : 1) lowess_curves(
    const double* y, long long y_row, long long y_step, const double* x, long long x_row, long long x_step,
    const double* weights, long long weights_row, long long weights_step, const unsigned char* use, long long use_row,
    long long use_step, const int* order, const long long* offsets, const int* segments, int chosen, int capacity,
    long long n_items, long long n_segments, double span, int iterations, int npts, int exclude, double* scratch,
    const long long* starts, long long row_scratch, long long* n, long long* count, double* knot_x, double* knot_y,
    int* item, int* left, int* length, double* reach) {
    using namespace lowess;
    GN_DYNAMIC_SHARED(double, memory);
    __shared__ double tile[TILE];
    __shared__ Shared shared;
    const long long b = blockIdx.x / chosen;
    const int choice = blockIdx.x % chosen, g = segments[choice];
    const long long first = offsets[g];
    const int size = static_cast<int>(offsets[g + 1] - first);
    Source source{y + b * y_row, x + b * x_row, nullptr, nullptr, y_step, x_step, weights_step, use_step, order, first,
                  size, exclude};
    if (WEIGHTED) source.weights_row = weights + b * weights_row;
    if (use) source.use_row = use + b * use_row;

    Work work;
#if SHARED_MEMORY
    const int room = capacity, padded = power_of_two(capacity);
    double* own = memory;
    work.tile_key = nullptr;
    work.tile_index = nullptr;
#else
    const int room = size, padded = power_of_two(size);
    double* own = scratch + b * row_scratch + starts[choice];
    work.tile_key = reinterpret_cast<Key*>(memory);
    work.tile_index = reinterpret_cast<int*>(memory + SORT_TILE);
#endif
    work.tile = tile;
    work.key = reinterpret_cast<Key*>(own);
    work.x = own + padded;
    work.y = work.x + room;
    work.robust = work.y + room;
    work.weight = work.robust + room;
    work.index = reinterpret_cast<int*>(work.robust + (WEIGHTED ? 2 : 1) * static_cast<long long>(room));

    const long long place = b * n_items + first;
    Curve curve{item + place, left + place, nullptr, nullptr, knot_x + place, knot_y + place};
    if (WEIGHTED) {
        curve.length = length + place;
        curve.reach = reach + place;
    }
    if (load(source, work)) fit(work, curve, span, iterations, npts, shared);
    const int knots = work.n ? shared.count : 0;
    for (int a = threadIdx.x; a < knots; a += blockDim.x) curve.x[a] = work.x[curve.item[a]];
    if (threadIdx.x == 0) {
        n[b * n_segments + g] = work.n;
        count[b * n_segments + g] = knots;
    }
}
