// The unweighted curve of one segment by one block: Cleveland's lowess as R has it, delta = 1 % of the range of x.
// The twin of gridnorm/core/engines/numpy/lowess_plain.py, operation by operation.
#pragma once
#include "lowess_block.cuh"

namespace lowess {

// 1 up to 0.001 of the window's reach, 0 beyond 0.999.
__device__ __forceinline__ double tricube(double distance, double far) {
    if (distance <= 0.001 * far) return 1.0;
    if (!(distance <= 0.999 * far)) return 0.0;
    const double share = distance / far;
    double cube = share * share;
    cube *= share;
    const double rest = 1.0 - cube;
    return rest * rest * rest;
}

// Robust mean of the items of one x; y of the item where no weight is left.
template <int LANES>
__device__ __forceinline__ double flat_fit(const Work& work, int item, int left) {
    const int end = first_beyond<false>(work.x, item, work.n, work.x[item]);
    double sum_w = 0.0, sum_y = 0.0;
    for (int j = left + lane_of<LANES>(); j < end; j += LANES) {
        sum_w += work.robust[j];
        sum_y += work.robust[j] * work.y[j];
    }
    sum_w = over_lanes<LANES>(sum_w);
    sum_y = over_lanes<LANES>(sum_y);
    return sum_w > 0.0 ? sum_y / sum_w : work.y[item];
}

// Local line at an item over the window left ... left + width - 1.
template <int LANES>
__device__ __forceinline__ double plain_fit(const Work& work, int item, int left, int width, double tolerance) {
    const double* x = work.x;
    const double centre = x[item];
    const double before = centre - x[left], behind = x[left + width - 1] - centre;
    const double far = before > behind ? before : behind;
    if (far <= 0.0) return flat_fit<LANES>(work, item, left);
    double sum_w = 0.0, sum_x = 0.0, sum_y = 0.0;
    for (int j = left + lane_of<LANES>(); j < left + width; j += LANES) {
        const double w = work.robust[j] * tricube(fabs(x[j] - centre), far);
        sum_w += w;
        sum_x += w * x[j];
        sum_y += w * work.y[j];
    }
    sum_w = over_lanes<LANES>(sum_w);
    const double mean_x = over_lanes<LANES>(sum_x) / sum_w, mean_y = over_lanes<LANES>(sum_y) / sum_w;
    double squares = 0.0, products = 0.0;
    for (int j = left + lane_of<LANES>(); j < left + width; j += LANES) {
        const double rise = x[j] - mean_x;
        const double moved = work.robust[j] * tricube(fabs(x[j] - centre), far) * rise;
        squares += moved * rise;
        products += moved * work.y[j];
    }
    squares = over_lanes<LANES>(squares);
    products = over_lanes<LANES>(products);
    if (!(sum_w > 0.0)) return work.y[item];
    return sqrt(squares / sum_w) > tolerance ? mean_y + (centre - mean_x) * (products / squares) : mean_y;
}

// Evaluated items (each the last one within delta of its predecessor) and the left ends of their windows: a window
// moves right while its next item is nearer than its first.
__device__ __forceinline__ void plain_windows(const Work& work, const Curve& curve, int width, Shared& shared) {
    const double* x = work.x;
    const double delta = 0.01 * (x[work.n - 1] - x[0]);
    for (int i = threadIdx.x; i < work.n; i += blockDim.x) {
        const int j = first_beyond<false>(x, i + 1, work.n, x[i] + delta);
        work.index[i] = x[j - 1] > x[i] ? j - 1 : j;
    }
    __syncthreads();
    follow(work, curve, shared);
    for (int a = threadIdx.x; a < shared.count; a += blockDim.x) {
        const double centre = x[curve.item[a]];
        int low = 0, high = work.n - width;
        while (low < high) {
            const int middle = low + (high - low) / 2;
            if (centre - x[middle] <= x[middle + width] - centre) high = middle;
            else low = middle + 1;
        }
        curve.left[a] = low;
    }
    __syncthreads();
}

// Absolute residuals into robust and key.
__device__ __forceinline__ void plain_residuals(const Work& work, const Curve& curve, int count, int padded) {
    const double* x = work.x;
    for (int i = threadIdx.x; i < padded; i += blockDim.x) {
        if (i >= work.n) {
            work.key[i] = LAST;
            continue;
        }
        const int before = point_before(curve.item, count, i);
        const double start = x[curve.item[before]], rise = x[i] - start;
        const int after = before + (rise > 0.0);
        const double share = rise / (rise > 0.0 ? x[curve.item[after]] - start : 1.0);
        const double fit = share * curve.fit[after] + (1.0 - share) * curve.fit[before];
        work.robust[i] = fabs(work.y[i] - fit);
        work.key[i] = positive_key(work.robust[i]);
    }
}

// Robustness weights from the residuals; false where the median residual has vanished beside the mean.
__device__ __forceinline__ bool plain_robust(const Work& work, const Curve& curve, Shared& shared) {
    const int n = work.n, padded = power_of_two(n);
    plain_residuals(work, curve, shared.count, padded);
    __syncthreads();
    mean_of(work.robust, n, &shared.mean);
    sort<false>(work, padded);
    __syncthreads();
    const double upper = value_of(work.key[n / 2]), lower = value_of(work.key[n - n / 2 - 1]);
    const double scale = n % 2 == 0 ? 3.0 * (upper + lower) : 6.0 * upper;
    if (scale < 1e-7 * shared.mean) return false;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        const double residual = work.robust[i], share = residual / scale;
        const double rest = 1.0 - share * share;
        double robust = rest * rest;
        if (residual <= 0.001 * scale) robust = 1.0;
        if (residual > 0.999 * scale) robust = 0.0;
        work.robust[i] = robust;
    }
    __syncthreads();
    return true;
}

__device__ __forceinline__ void plain_curve(
    const Work& work, const Curve& curve, double span, int iterations, Shared& shared) {
    const int n = work.n;
    int width = static_cast<int>(span * n + 1e-7);
    width = width < 2 ? 2 : width;
    width = width > n ? n : width;
    const double tolerance = 0.001 * (work.x[n - 1] - work.x[0]);
    for (int i = threadIdx.x; i < n; i += blockDim.x) work.robust[i] = 1.0;
    plain_windows(work, curve, width, shared);
    for (int step = 0; step < iterations; ++step) {
        if (n > LONG) {
            for (int a = threadIdx.x / 32; a < shared.count; a += blockDim.x / 32) {
                const double fit = plain_fit<32>(work, curve.item[a], curve.left[a], width, tolerance);
                if (threadIdx.x % 32 == 0) curve.fit[a] = fit;
            }
        } else {
            for (int a = threadIdx.x; a < shared.count; a += blockDim.x)
                curve.fit[a] = plain_fit<1>(work, curve.item[a], curve.left[a], width, tolerance);
        }
#ifdef GN_PLANT_LOWESS_NO_BARRIER
        if (step == iterations - 1) __syncthreads();
#else
        __syncthreads();
#endif
        if (step == iterations - 1 || !plain_robust(work, curve, shared)) break;
    }
}

}  // namespace lowess
