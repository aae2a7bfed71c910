// The weighted median of sorted keys, with the sums that NumPy takes: weights are added one by one, and their total is
// its pairwise sum, so that a median that hangs on the last bit of a sum is NumPy's too.
#pragma once
#include "median_keys.cuh"

namespace {

// Sum as NumPy adds a contiguous vector: halves down to 128 numbers, those in eight running sums.
__device__ double pairwise_leaf(const double* a, long long n) {
    double sum = 0;
    if (n < 8) {
        for (long long i = 0; i < n; ++i) sum += a[i];
        return sum;
    }
    double r[8];
#pragma unroll
    for (int k = 0; k < 8; ++k) r[k] = a[k];
    long long i = 8;
    for (; i + 8 <= n; i += 8) {
#pragma unroll
        for (int k = 0; k < 8; ++k) r[k] += a[i + k];
    }
    sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < n; ++i) sum += a[i];
    return sum;
}

__device__ double pairwise_sum(const double* a, long long n) {
    long long start[32], length[32];  // halves still to be added, and, once `done`, the sum of the left one
    double left[32];
    bool done[32];
    int depth = 0;
    start[0] = 0, length[0] = n, done[0] = false;
    while (true) {
        while (length[depth] > 128) {
            long long half = length[depth] / 2;
            half -= half % 8;
            start[depth + 1] = start[depth], length[depth + 1] = half, done[depth + 1] = false;
            ++depth;
        }
        double sum = pairwise_leaf(a + start[depth], length[depth]);
        while (depth > 0 && done[depth - 1]) sum = left[--depth] + sum;
        if (depth == 0) return sum;
        // The left half is complete: the right one takes its place.
        --depth;
        left[depth] = sum, done[depth] = true;
        long long half = length[depth] / 2;
        half -= half % 8;
        start[depth + 1] = start[depth] + half, length[depth + 1] = length[depth] - half, done[depth + 1] = false;
        ++depth;
    }
}

// The same by a block: threads take subtrees, then join them as the tree does. `sums` has a place for each thread.
template <int THREADS>
__device__ double pairwise_sum_by_block(const double* a, long long n, double* sums) {
    // Nodes above the subtrees hold more than 128 numbers, so all subtrees are there, at one depth.
    int depth = 0;
    while ((2 << depth) <= THREADS && n >> depth >= 160) ++depth;
    const int thread = threadIdx.x, trees = 1 << depth;
    if (thread < trees) {
        long long length = n;
        for (int level = depth - 1; level >= 0; --level) {
            long long half = length / 2;
            half -= half % 8;
            if (thread >> level & 1) a += half;
            length = thread >> level & 1 ? length - half : half;
        }
        sums[thread] = pairwise_sum(a, length);
    }
    for (int left = trees >> 1; left > 0; left >>= 1) {
        __syncthreads();
        const double sum = thread < left ? sums[2 * thread] + sums[2 * thread + 1] : 0.0;
        __syncthreads();
        if (thread < left) sums[thread] = sum;
    }
    __syncthreads();
    const double total = sums[0];
    __syncthreads();
    return total;
}

// The median of `n` sorted keys, given that the weights pass one half of their `total` among elements [from, until), or
// at the end. `weights` starts with the one of `from`; `sum` is what comes before.
__device__ double crossing(const Key* keys, const double* weights, long long from, long long until, long long n, double sum, double total) {
    double share = 0;
    long long k = from;
    for (; k < until; ++k) {
        sum += weights[k - from];
        share = sum / total;
        if (!(share < 0.5)) break;
    }
    return share > 0.5 || k + 1 >= n ? value_of(keys[k < n ? k : n - 1]) : 0.5 * (value_of(keys[k]) + value_of(keys[k + 1]));
}

// For one thread: `weights` in the order of the sorted keys.
__device__ double weighted_median(const Key* keys, const double* weights, long long n) {
    return n ? crossing(keys, weights, 0, n, n, 0.0, pairwise_sum(weights, n)) : GN_NAN;
}

// For a block; thread 0 has the result. It adds weight after weight from `tile`, which the others fill for it.
template <int THREADS>
__device__ double weighted_median_by_block(const Key* keys, const double* weights, long long n) {
    __shared__ double tile[4 * THREADS];
    __shared__ bool passed;
    const double total = pairwise_sum_by_block<THREADS>(weights, n, tile);
    double sum = 0, result = GN_NAN;
    for (long long from = 0; from < n; from += 4 * THREADS) {
        const int held = n - from < 4 * THREADS ? (int)(n - from) : 4 * THREADS;
        for (int i = threadIdx.x; i < held; i += THREADS) tile[i] = weights[from + i];
#ifndef GN_PLANT_MEDIAN_TILE  // tsan: test_median.py -k "too_large and True"
        __syncthreads();
#endif
        if (threadIdx.x == 0) {
            double after = sum;
            for (int i = 0; i < held; ++i) after += tile[i];
            // Sums only grow: where the last one falls short of one half, so do all before it.
            passed = !(after / total < 0.5) || from + held == n;
            if (passed) result = crossing(keys, tile, from, from + held, n, sum, total);
            sum = after;
        }
        __syncthreads();
        if (passed) break;
    }
    return result;
}

}  // namespace
