// The weighted curve of one segment by one block: limma's weightedLowess. A window holds a share of the prior weight.
// The twin of gridnorm/core/engines/numpy/lowess_weighted.py and lowess_seeds.py. Sums that decide something are taken one
// item after the other, as limma does; the seeds follow R's running sum in its 64-bit significand.
#pragma once
#include "lowess_block.cuh"

namespace lowess {

// A number >= 0 with a significand of 64 bits, value significand * 2^exponent: what R's cumsum adds up in.
struct Extended {
    Key significand = 0;
    int exponent = 0;

    __device__ __forceinline__ void add(double v) {
        const Key top = 1ull << 63, bits = static_cast<Key>(__double_as_longlong(v));
        if (bits << 1 == 0) return;
        const int biased = static_cast<int>(bits >> 52 & 0x7ff);
        Key other = (bits & 0xfffffffffffffull) << 11, rest = 0;
        int power = (biased ? biased : 1) - 1086;
        if (biased) other |= top;
        while (other < top) {  // subnormal
            other <<= 1;
            --power;
        }
        if (significand == 0 || power > exponent) {
            const Key held = significand;
            const int held_power = exponent;
            significand = other;
            exponent = power;
            if (held == 0) return;
            other = held;
            power = held_power;
        }
        const int apart = exponent - power;  // rest: what falls below the last bit, in units of 2^-64 of it
        if (apart >= 64) {
            rest = apart == 64 ? other : 1;
            other = 0;
        } else if (apart > 0) {
            rest = other << (64 - apart);
            other >>= apart;
        }
        significand += other;
        bool up;
        if (significand < other) {  // carry
            const bool half = significand & 1;
            significand = significand >> 1 | top;
            ++exponent;
            up = half && (rest != 0 || (significand & 1));
        } else {
            up = rest > top || (rest == top && (significand & 1));
        }
        if (up && ++significand == 0) {
            significand = top;
            ++exponent;
        }
    }

    __device__ __forceinline__ double rounded() const {
        const Key dropped = significand & 0x7ff;
        Key kept = significand >> 11;
        if (dropped > 0x400 || (dropped == 0x400 && (kept & 1))) ++kept;
        return ldexp(static_cast<double>(kept), exponent + 11);
    }
};

// The cube, rounded once, as C's pow(v, 3) does; v * v * v differs in the last bit for a quarter of values.
__device__ __forceinline__ double cube(double v) {
    const double square = v * v, square_error = __fma_rn(v, v, -square);
    const double product = square * v, product_error = __fma_rn(square, v, -product);
    return product + (product_error + square_error * v);
}

// Least distance between seeds, so that about npts remain; 0 where all items may be seeds.
__device__ __forceinline__ void least_distance(const Work& work, int npts, Shared& shared) {
    const int gaps = work.n - 1;
    if (threadIdx.x == 0) shared.delta = 0.0;
    if (work.n <= npts) return;
    const int padded = power_of_two(gaps);
    for (int i = threadIdx.x; i < padded; i += blockDim.x)
        work.key[i] = i < gaps ? positive_key(work.x[i + 1] - work.x[i] + 0.0) : LAST;  // -0 would sort last
    __syncthreads();
    sort<false>(work, padded);
    Extended sum;
    double least = 0.0;
    in_order(
        work.tile, gaps, [&](int i) { return value_of(work.key[i]); },
        [&](int i, double gap) {
            sum.add(gap);
            const int k = gaps - 1 - i;
            if (k < npts) {
                const double share = sum.rounded() / (npts - k);
                if (k == npts - 1 || share < least) least = share;
                shared.delta = least;
            }
            return false;
        });
}

// Seeds: the first item, every further one more than delta beyond its predecessor, and the last item.
__device__ __forceinline__ void seeds(const Work& work, const Curve& curve, Shared& shared) {
    const double *x = work.x, delta = shared.delta;
    for (int i = threadIdx.x; i < work.n; i += blockDim.x) {
        int low = i + 1, high = i + 1 < work.n ? work.n - 1 : low;
        while (low < high) {
            const int middle = low + (high - low) / 2;
            if (x[middle] - x[i] > delta) high = middle;
            else low = middle + 1;
        }
        work.index[i] = low;
    }
    __syncthreads();
    follow(work, curve, shared);
}

// Window of each seed: it takes the nearer neighbour (the right one if equally near) until it holds `target` of the
// weight; items of equal x beyond its ends follow without changing the reach.
__device__ __forceinline__ void weighted_windows(const Work& work, const Curve& curve, int count, double target) {
    const double *x = work.x, *w = work.weight;
    const int end = work.n - 1;
    for (int a = threadIdx.x; a < count; a += blockDim.x) {
        const int seed = curve.item[a];
        const double centre = x[seed];
        int left = seed, right = seed;
        double held = w[seed];
        double before = left > 0 ? centre - x[left - 1] : 0.0, behind = right < end ? x[right + 1] - centre : 0.0;
        while (held < target && (left > 0 || right < end)) {
            if (left > 0 && (right == end || before < behind)) {
                held += w[--left];
                if (left > 0) before = centre - x[left - 1];
            } else {
                held += w[++right];
                if (right < end) behind = x[right + 1] - centre;
            }
        }
        before = centre - x[left];
        behind = x[right] - centre;
        curve.reach[a] = before > behind ? before : behind;
        left = first_beyond<true>(x, 0, left, x[left]);
        right = first_beyond<false>(x, right + 1, work.n, x[right]) - 1;
        curve.left[a] = left;
        curve.length[a] = right - left + 1;
    }
    __syncthreads();
}

// Weighted line at a seed, NaN where no weight is left; parenthesised as in limma.
template <int LANES>
__device__ __forceinline__ double weighted_fit(const Work& work, int seed, int left, int length, double reach) {
    const double *x = work.x, *y = work.y;
    const double centre = x[seed];
    const bool flat = reach < 1e-7;
    const auto weight = [&](int j) {
        const double prior = work.weight[j];
        return work.robust[j] * (flat ? prior : cube(1.0 - cube(fabs(centre - x[j]) / reach)) * prior);
    };
    double sum_w = 0.0, sum_x = 0.0, sum_y = 0.0;
    for (int j = left + lane_of<LANES>(); j < left + length; j += LANES) {
        const double w = weight(j);
        sum_w += w;
        sum_x += w * x[j];
        sum_y += w * y[j];
    }
    sum_w = over_lanes<LANES>(sum_w);
    const double mean_x = over_lanes<LANES>(sum_x) / sum_w, mean_y = over_lanes<LANES>(sum_y) / sum_w;
    if (flat) return mean_y;
    double variance = 0.0, covariance = 0.0;
    for (int j = left + lane_of<LANES>(); j < left + length; j += LANES) {
        const double w = weight(j), rise = x[j] - mean_x;
        variance += w * (rise * rise);
        covariance += w * ((y[j] - mean_y) * rise);
    }
    variance = over_lanes<LANES>(variance);
    const double slope = over_lanes<LANES>(covariance) / variance;
    return variance < 1e-7 ? mean_y : slope * centre + (mean_y - slope * mean_x);
}

// Absolute residuals into robust and key: straight between seeds, the mean of both where they are too close.
__device__ __forceinline__ void weighted_residuals(const Work& work, const Curve& curve, int count, int padded) {
    const double* x = work.x;
    const double least = 1e-7 * (x[work.n - 1] - x[0]) / work.n;
    for (int i = threadIdx.x; i < padded; i += blockDim.x) {
        work.index[i] = i;
        if (i >= work.n) {
            work.key[i] = LAST;
            continue;
        }
        const int before = point_before(curve.item, count, i);
        double fit = curve.fit[before];
        if (curve.item[before] != i) {
            const double next = curve.fit[before + 1], end = x[curve.item[before + 1]];
            const double gap = end - x[curve.item[before]];
            if (gap > least) {
                const double slope = (next - fit) / gap;
                fit = slope * x[i] + (next - slope * end);
            } else {
                fit = 0.5 * (fit + next);
            }
        }
        work.robust[i] = fabs(work.y[i] - fit);
        work.key[i] = positive_key(work.robust[i]);
    }
}

// Robustness weights from the residuals, 0 for NaN. False where their weighted median has vanished beside their mean;
// with a NaN mean limma goes on.
__device__ __forceinline__ bool weighted_robust(const Work& work, const Curve& curve, Shared& shared) {
    const int n = work.n, padded = power_of_two(n);
    weighted_residuals(work, curve, shared.count, padded);
    if (threadIdx.x == 0) {
        shared.middle = n - 1;
        shared.exact = 0;
    }
    __syncthreads();
    mean_of(work.robust, n, &shared.mean);
    sort<true>(work, padded);
    __syncthreads();
    const double half = shared.total / 2;
    double held = 0.0;
    in_order(
        work.tile, n, [&](int i) { return work.weight[work.index[i]]; },
        [&](int i, double weight) {
            held += weight;
            if (held < half) return false;
            shared.middle = i;
            shared.exact = held == half && i + 1 < n;
            return true;
        });
    const double at = value_of(work.key[shared.middle]);
    const double scale = shared.exact ? 3.0 * (at + value_of(work.key[shared.middle + 1])) : 6.0 * at;
    if (scale <= 1e-7 * shared.mean) return false;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        const double residual = work.robust[i], share = residual / scale;
        const double rest = 1.0 - share * share;
        work.robust[i] = residual < scale ? rest * rest : 0.0;
    }
    __syncthreads();
    return true;
}

__device__ __forceinline__ void weighted_curve(
    const Work& work, const Curve& curve, double span, int iterations, int npts, Shared& shared) {
    const int n = work.n;
    for (int i = threadIdx.x; i < n; i += blockDim.x) work.robust[i] = 1.0;
    least_distance(work, npts, shared);
    double total = 0.0;
    in_order(
        work.tile, n, [&](int i) { return work.weight[i]; },
        [&](int, double weight) {
            total += weight;
            shared.total = total;
            return false;
        });
    seeds(work, curve, shared);
    weighted_windows(work, curve, shared.count, span * shared.total);
    for (int step = 0; step < iterations; ++step) {
        if (n > LONG) {
            for (int a = threadIdx.x / 32; a < shared.count; a += blockDim.x / 32) {
                const double reach = curve.reach[a];
                const double fit = weighted_fit<32>(work, curve.item[a], curve.left[a], curve.length[a], reach);
                if (threadIdx.x % 32 == 0) curve.fit[a] = fit;
            }
        } else {
            for (int a = threadIdx.x; a < shared.count; a += blockDim.x)
                curve.fit[a] = weighted_fit<1>(work, curve.item[a], curve.left[a], curve.length[a], curve.reach[a]);
        }
        __syncthreads();
        if (step == iterations - 1 || !weighted_robust(work, curve, shared)) break;
    }
    // The last item is always a seed, so the last two may share x; they become one.
    if (threadIdx.x == 0 && shared.count > 1) {
        const int last = shared.count - 1;
        if (work.x[curve.item[last]] == work.x[curve.item[last - 1]]) {
            curve.fit[last - 1] = 0.5 * (curve.fit[last - 1] + curve.fit[last]);
            shared.count = last;
        }
    }
    __syncthreads();
}

}  // namespace lowess
