// A warp or a block sorts the keys of a segment, or of a chunk of one, in shared memory.
#pragma once
#include "median_keys.cuh"

namespace {

template <bool WARP>
__device__ __forceinline__ void meet() {
    if (WARP) __syncwarp();
#ifndef GN_PLANT_MEDIAN_SYNC  // tsan: test_median.py -k planted
    else __syncthreads();
#endif
}

// Ascending by (key, index); `room` is a power of two. Starts and ends with a barrier.
template <bool WARP, bool INDEXED>
__device__ void sort(Key* keys, unsigned* index, int room, int thread, int threads) {
    meet<WARP>();
    for (int size = 2; size <= room; size <<= 1)
        for (int gap = size >> 1; gap > 0; gap >>= 1) {
            for (int i = thread; i < room >> 1; i += threads) {
                const int low = 2 * i - (i & (gap - 1)), high = low + gap;
                const Key a = keys[low], b = keys[high];
                bool after = a > b;
                if (INDEXED && a == b) after = index[low] > index[high];
                const bool descending = low & size;
                const bool equal = a == b && (!INDEXED || index[low] == index[high]);
                if (after != descending && !equal) {
                    keys[low] = b, keys[high] = a;
                    if (INDEXED) {
                        const unsigned t = index[low];
                        index[low] = index[high], index[high] = t;
                    }
                }
            }
            meet<WARP>();
        }
}

// Keys [from, from + room) of a segment, sorted; with weights, `index` has the element of each.
template <bool WARP, bool WEIGHTED>
__device__ void sort_elements(const Elements& s, long long from, int room, Key* keys, unsigned* index, int thread, int threads) {
    for (int i = thread; i < room; i += threads) {
        const long long e = from + i;
        keys[i] = e < s.count ? s.key(e) : LAST;
        if (WEIGHTED) index[i] = (unsigned)e;
    }
    sort<WARP, WEIGHTED>(keys, index, room, thread, threads);
}

}  // namespace
