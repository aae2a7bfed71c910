// Order statistics of a segment that lies in sorted chunks, without merging them.
#pragma once
#include "median_keys.cuh"

#define SELECT_THREADS 256  // at most

namespace {

// What a block knows after a look at all its chunks: a count, the largest key of some, the smallest key of others.
struct Joined {
    unsigned count;
    Key largest, smallest;
};

// Of all threads, for every thread. `places` has two rows of a warp's results, for odd and even rounds: a warp that
// goes ahead writes the row that the others have left behind at the last barrier.
__device__ __forceinline__ Joined join(Joined own, Joined (*places)[SELECT_THREADS / 32], int round) {
    for (int step = 16; step > 0; step >>= 1) {
        own.count += __shfl_xor_sync(GN_ALL_LANES, own.count, step);
        const Key l = __shfl_xor_sync(GN_ALL_LANES, own.largest, step), s = __shfl_xor_sync(GN_ALL_LANES, own.smallest, step);
        own.largest = l > own.largest ? l : own.largest;
        own.smallest = s < own.smallest ? s : own.smallest;
    }
    Joined* row = places[round & 1];
    if ((threadIdx.x & 31) == 0) row[threadIdx.x >> 5] = own;
#ifndef GN_PLANT_MEDIAN_JOIN  // tsan: test_median.py -k search_by_several_warps
    __syncthreads();
#endif
    own = row[0];
    for (int w = 1; w < (int)blockDim.x >> 5; ++w) {
        own.count += row[w].count;
        own.largest = row[w].largest > own.largest ? row[w].largest : own.largest;
        own.smallest = row[w].smallest < own.smallest ? row[w].smallest : own.smallest;
    }
    return own;
}

// The keys of chunk c that may still be the wanted one: positions [low, high), cut at `split` in the last round.
// Each is read and written by one thread only.
struct Window {
    unsigned low, high, split;
};

// Of `chunks` sorted runs of LENGTH keys: how many values they hold, and the two that a quantile (null: the median) lies
// between, the same one twice at the end. For every thread.
//
// A round cuts the keys that are left at the uppermost bit that they do not all share, so that both parts have a key:
// at most 64 rounds, each with a binary search in what is left of every chunk.
template <int LENGTH>
__device__ void order_statistics(const Key* keys, long long chunks, Window* windows, const double* probability, unsigned& n, Key& at, Key& next) {
    __shared__ Joined places[2][SELECT_THREADS / 32];
    Joined own = {0, 0, LAST};
    for (long long c = threadIdx.x; c < chunks; c += blockDim.x) {
        const Key* run = keys + c * LENGTH;
        const unsigned found = observed(run, (unsigned)LENGTH);
        windows[c] = {0, found, found};
        if (found == 0) continue;
        own.count += found;
        own.largest = run[found - 1] > own.largest ? run[found - 1] : own.largest;
        own.smallest = run[0] < own.smallest ? run[0] : own.smallest;
    }
    int round = 0;
    Joined all = join(own, places, round);
    n = all.count, at = next = LAST;
    if (n == 0) return;
    const unsigned rank = (unsigned)rank_of(probability, n);
    Key low = all.smallest, high = all.largest;  // of the keys that are left
    unsigned until = n;                          // how many keys are <= high
    bool lower = true;                           // whether the keys before the cut were kept
    while (low != high) {
        const int bit = 63 - __clzll((long long)(low ^ high));
        const Key cut = high >> bit << bit;
        own = {0, 0, LAST};
        for (long long c = threadIdx.x; c < chunks; c += blockDim.x) {
            const Key* run = keys + c * LENGTH;
            Window w = windows[c];
            if (lower) w.high = w.split;
            else w.low = w.split;
            w.split = first_from(run, w.low, w.high, cut);
            windows[c] = w;
            own.count += w.split;
            if (w.split > w.low) own.largest = run[w.split - 1] > own.largest ? run[w.split - 1] : own.largest;
            if (w.split < w.high) own.smallest = run[w.split] < own.smallest ? run[w.split] : own.smallest;
        }
        all = join(own, places, ++round);
        lower = rank < all.count;
        if (lower) high = all.largest, next = all.smallest, until = all.count;
        else low = all.smallest;
    }
    at = low;
    if (rank + 1 < until || rank + 1 == n) next = at;
}

}  // namespace
