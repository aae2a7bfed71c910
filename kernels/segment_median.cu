// Median, median absolute deviation and quantiles of every segment, exact: the values that a full sort would give.
//
// Shapes    values (batch, item, width) with three strides; use and weights (batch, item) with two, or null;
//           centre float64 (batch, segment) or null: select among |x - centre|; order int32 (item,) or null;
//           offsets int64 (segment + 1,); probabilities float64 (probability,) or null (the median);
//           n int64 (batch, segment); result float64 (batch, segment, probability or 1).
// Kernels   segment_median_warp     segments of <= 512 elements: one warp each sorts them in shared memory
//           segment_median_block    <= 2048 elements: one block of 128 threads each, likewise
//           segment_median_radix    more: one block of 256 threads narrows 8 bits of the order statistic a pass, until
//                                   the candidates fit into shared memory and are sorted
//           segment_median_sorted   more, with weights: one block of 256 threads sorts in global memory
// Values    are compared as float64 whatever IN is. With weights: sorted by value, then by position; the first value
//           whose cumulative share of the weight (added one by one, over NumPy's pairwise sum) exceeds one half, at
//           exactly one half its mean with the next.
// Shared    8 bytes an element for keys (20 with weights), sized by the launch to a power of two; 17 KiB for radix.
// Order     Results are elements or means of two: no order of work can change them. Counts use integer atomics only.
// Planted   GN_PLANT_MEDIAN_SYNC (race in the sort of a block), GN_PLANT_MEDIAN_END (reads behind the last element).
#include "real.cuh"

#define WARP_THREADS 128
#define RADIX_THREADS 256
#define CANDIDATES 1024
#define WEIGHT_TILE 256

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

template <bool WARP>
__device__ __forceinline__ void meet() {
    if (WARP) __syncwarp();
#ifndef GN_PLANT_MEDIAN_SYNC  // tsan: test_median.py -k planted
    else __syncthreads();
#endif
}

// Ascending by (key, index); `room` is a power of two. Starts and ends with a barrier.
template <bool WARP, bool INDEXED>
__device__ void sort(Key* keys, unsigned* index, long long room, int thread, int threads) {
    meet<WARP>();
    for (long long size = 2; size <= room; size <<= 1)
        for (long long gap = size >> 1; gap > 0; gap >>= 1) {
            for (long long i = thread; i < room >> 1; i += threads) {
                const long long low = 2 * i - (i & (gap - 1)), high = low + gap;
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

// How many of the sorted keys are values.
__device__ long long observed(const Key* keys, long long room) {
    long long low = 0, high = room;
    while (low < high) {
        const long long middle = (low + high) >> 1;
        if (keys[middle] == LAST) high = middle;
        else low = middle + 1;
    }
    return low;
}

__device__ __forceinline__ double middle(double lower, double upper) {
    return upper == lower ? upper : 0.5 * lower + 0.5 * upper;  // halves first: two huge values must not overflow
}

// Position of a quantile: the order statistic below it, and the share of the way to the next.
__device__ __forceinline__ void position(double probability, long long n, long long& low, double& share) {
    const double at = product((double)(n - 1), probability);
    low = (long long)floor(at);
    share = at - (double)low;
}

__device__ __forceinline__ double between(double below, double above, double share) {
    return below + product(share, above - below);
}

__device__ void from_sorted(const Key* keys, long long n, const double* probabilities, int count, double* result, int thread, int threads) {
    for (int p = thread; p < count; p += threads) {
        if (n == 0) {
            result[p] = GN_NAN;
        } else if (!probabilities) {
            result[p] = middle(value_of(keys[(n - 1) / 2]), value_of(keys[n / 2]));
        } else {
            long long low;
            double share;
            position(probabilities[p], n, low, share);
            const long long high = low + 1 < n ? low + 1 : n - 1;
            result[p] = between(value_of(keys[low]), value_of(keys[high]), share);
        }
    }
}

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

// For one thread: `weights` in the order of the sorted keys.
__device__ double weighted_median(const Key* keys, const double* weights, long long n) {
    if (n == 0) return GN_NAN;
    const double total = pairwise_sum(weights, n);
    double sum = 0, share = 0;
    long long k = 0;
    for (; k < n; ++k) {
        sum += weights[k];
        share = sum / total;
        if (!(share < 0.5)) break;
    }
    return share > 0.5 || k + 1 >= n ? value_of(keys[k < n ? k : n - 1]) : 0.5 * (value_of(keys[k]) + value_of(keys[k + 1]));
}

// Keys (and positions) of a segment, sorted; then its statistic.
template <bool WARP, bool WEIGHTED>
__device__ void select(const Elements& s, int room, Key* keys, double* weights, unsigned* index, const double* probabilities, int count,
                       int thread, int threads, long long* n, double* result) {
    for (int e = thread; e < room; e += threads) {
        keys[e] = e < s.count ? s.key(e) : LAST;
        if (WEIGHTED) index[e] = e;
    }
    sort<WARP, WEIGHTED>(keys, index, room, thread, threads);
    const long long found = observed(keys, room);
    if (thread == 0) *n = found;
    if constexpr (WEIGHTED) {
        for (long long i = thread; i < found; i += threads) weights[i] = s.weight(index[i]);
        meet<WARP>();
        if (thread == 0) *result = weighted_median(keys, weights, found);
    } else {
        from_sorted(keys, found, probabilities, count, result, thread, threads);
    }
}

template <bool WARP>
__device__ void select_in_shared(const Elements& s, int room, int team, int teams, const double* probabilities, int count, int thread,
                                 int threads, long long* n, double* result) {
    GN_DYNAMIC_SHARED(Key, shared);
    Key* keys = shared + (long long)team * room;
    double* weights = reinterpret_cast<double*>(shared + (long long)teams * room) + (long long)team * room;
    unsigned* index = reinterpret_cast<unsigned*>(shared + (long long)2 * teams * room) + (long long)team * room;
    if (s.weights) select<WARP, true>(s, room, keys, weights, index, probabilities, count, thread, threads, n, result);
    else select<WARP, false>(s, room, keys, weights, index, probabilities, count, thread, threads, n, result);
}

// What the threads of segment_median_radix share.
struct Radix {
    unsigned histogram[RADIX_THREADS / 32][256];
    Key candidates[CANDIDATES];
    Key low[RADIX_THREADS / 32], high[RADIX_THREADS / 32];
    long long count[RADIX_THREADS / 32];
    long long before;  // keys below the chosen digit
    unsigned chosen, inside, taken;
};

// Smallest and largest key above `floor` (LAST is no value) and their number, for every thread.
__device__ void range(const Elements& s, Radix& r, Key floor, bool strictly, Key& low, Key& high, long long& n) {
    low = LAST, high = 0, n = 0;
    for (long long e = threadIdx.x; e < s.count; e += blockDim.x) {
        const Key key = s.key(e);
        if (key == LAST || (strictly && key <= floor)) continue;
        low = key < low ? key : low;
        high = key > high ? key : high;
        ++n;
    }
    for (int step = 16; step > 0; step >>= 1) {
        const Key l = __shfl_xor_sync(GN_ALL_LANES, low, step), h = __shfl_xor_sync(GN_ALL_LANES, high, step);
        low = l < low ? l : low;
        high = h > high ? h : high;
        n += __shfl_xor_sync(GN_ALL_LANES, n, step);
    }
    __syncthreads();
    if ((threadIdx.x & 31) == 0) r.low[threadIdx.x >> 5] = low, r.high[threadIdx.x >> 5] = high, r.count[threadIdx.x >> 5] = n;
    __syncthreads();
    n = 0;
    for (int w = 0; w < RADIX_THREADS / 32; ++w) {
        low = r.low[w] < low ? r.low[w] : low;
        high = r.high[w] > high ? r.high[w] : high;
        n += r.count[w];
    }
}

// Of the keys whose bits above `shift + 8` are those of `prefix`: the digit that holds rank `rank`, how many keys it
// holds and how many lie in smaller digits.
__device__ void narrow(const Elements& s, Radix& r, Key prefix, Key decided, int shift, long long rank) {
    const int lane = threadIdx.x & 31;
    __syncthreads();
    for (int i = threadIdx.x; i < RADIX_THREADS / 32 * 256; i += blockDim.x) r.histogram[i >> 8][i & 255] = 0;
    __syncthreads();
    for (long long e = threadIdx.x; e < s.count; e += blockDim.x) {
        const Key key = s.key(e);
        if (key != LAST && (key & decided) == prefix) atomicAdd(&r.histogram[threadIdx.x >> 5][(key >> shift) & 255], 1u);
    }
    __syncthreads();
    for (int d = threadIdx.x; d < 256; d += blockDim.x) {
        unsigned sum = 0;
        for (int w = 0; w < RADIX_THREADS / 32; ++w) sum += r.histogram[w][d];
        r.histogram[0][d] = sum;
    }
    __syncthreads();
    if (threadIdx.x < 32) {  // eight digits a lane
        long long own = 0;
        for (int d = 0; d < 8; ++d) own += r.histogram[0][lane * 8 + d];
        long long upto = own;
        for (int step = 1; step < 32; step <<= 1) {
            const long long left = __shfl_up_sync(GN_ALL_LANES, upto, step);
            if (lane >= step) upto += left;
        }
        long long below = upto - own;
        if (below <= rank && rank < upto)
            for (int d = 0; d < 8; ++d) {
                const unsigned inside = r.histogram[0][lane * 8 + d];
                if (rank < below + inside) {
                    r.chosen = lane * 8 + d, r.inside = inside, r.before = below;
                    break;
                }
                below += inside;
            }
    }
    __syncthreads();
}

// The order statistics `rank` and `rank + 1` (the same one twice at the end), for every thread.
__device__ void statistics(const Elements& s, Radix& r, Key low, Key high, long long n, long long rank, double& below, double& above) {
    Key key = low, decided = LAST;  // all keys alike: nothing to narrow
    long long left = rank, inside = n;
    bool sorted = false;
    if (low != high) {
        int shift = 0;
        while (shift < 56 && ((low ^ high) >> (shift + 8))) ++shift;
        decided = shift == 56 ? 0 : ~((1ull << (shift + 8)) - 1);
        key = low & decided;
        while (true) {
            narrow(s, r, key, decided, shift, left);
            key |= (Key)r.chosen << shift;
            decided |= (Key)255 << shift;
            left -= r.before;
            inside = r.inside;
            if (shift == 0 || inside <= CANDIDATES) break;
            const int next = shift >= 8 ? shift - 8 : 0;
            // The last step may have fewer than 8 bits left: bits decided before stay in the prefix.
            shift = next;
        }
        sorted = inside <= CANDIDATES && decided != LAST;
    }
    if (sorted) {
        int room = 2;
        while (room < inside) room <<= 1;
        __syncthreads();
        for (int i = threadIdx.x; i < room; i += blockDim.x) r.candidates[i] = LAST;
        if (threadIdx.x == 0) r.taken = 0;
        __syncthreads();
        for (long long e = threadIdx.x; e < s.count; e += blockDim.x) {
            const Key k = s.key(e);
            if (k != LAST && (k & decided) == key) r.candidates[atomicAdd(&r.taken, 1u)] = k;
        }
        sort<false, false>(r.candidates, nullptr, room, threadIdx.x, blockDim.x);
        key = r.candidates[left];
    }
    Key next = key;
    if (rank + 1 < n) {
        if (left + 1 < inside) {
            if (sorted) next = r.candidates[left + 1];
        } else {
            Key unused;
            long long count;
            range(s, r, key, true, next, unused, count);
        }
    }
    __syncthreads();
    below = value_of(key);
    above = value_of(next);
}

}  // namespace

// A warp a (batch entry, listed segment), `room` keys each.
extern "C" __global__ void __launch_bounds__(WARP_THREADS, 8)
segment_median_warp(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
                    const bool* use, long long use_batch, long long use_item,
                    const double* weights, long long weight_batch, long long weight_item,
                    const double* centre, const int* order, const long long* offsets, long long segments,
                    const double* probabilities, int count, const int* which, long long listed, long long batch, int room,
                    long long* n, double* result) {
    const int team = threadIdx.x >> 5, teams = WARP_THREADS / 32;
    const long long pair = (long long)blockIdx.x * teams + team;
    if (pair >= batch * listed) return;  // whole warps, and no barrier of the block follows
    long long b, l;
    gn::divide(pair, listed, b, l);
    const long long g = which[l], at = b * segments + g;
    long long elements = (offsets[g + 1] - offsets[g]) * width;
#ifdef GN_PLANT_MEDIAN_END  // asan: test_median.py -k planted
    if (elements < room) elements += width;
#endif
    const Elements s = {values + b * batch_stride, use ? use + b * use_batch : nullptr, weights ? weights + b * weight_batch : nullptr,
                        order, item_stride, place_stride, use_item, weight_item, offsets[g], width, elements,
                        centre ? centre[at] : 0.0, centre != nullptr};
    select_in_shared<true>(s, room, team, teams, probabilities, count, threadIdx.x & 31, 32, n + at, result + at * count);
}

// A block a (batch entry, listed segment), `room` keys.
extern "C" __global__ void __launch_bounds__(WARP_THREADS, 8)
segment_median_block(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
                     const bool* use, long long use_batch, long long use_item,
                     const double* weights, long long weight_batch, long long weight_item,
                     const double* centre, const int* order, const long long* offsets, long long segments,
                     const double* probabilities, int count, const int* which, long long listed, long long batch, int room,
                     long long* n, double* result) {
    long long b, l;
    gn::divide(blockIdx.x, listed, b, l);
    const long long g = which[l], at = b * segments + g;
    const Elements s = {values + b * batch_stride, use ? use + b * use_batch : nullptr, weights ? weights + b * weight_batch : nullptr,
                        order, item_stride, place_stride, use_item, weight_item, offsets[g], width, (offsets[g + 1] - offsets[g]) * width,
                        centre ? centre[at] : 0.0, centre != nullptr};
    select_in_shared<false>(s, room, 0, 1, probabilities, count, threadIdx.x, WARP_THREADS, n + at, result + at * count);
}

// A block of RADIX_THREADS a (batch entry, listed segment), without weights.
extern "C" __global__ void __launch_bounds__(RADIX_THREADS, 2)
segment_median_radix(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
                     const bool* use, long long use_batch, long long use_item,
                     const double* centre, const int* order, const long long* offsets, long long segments,
                     const double* probabilities, int count, const int* which, long long listed, long long batch,
                     long long* n, double* result) {
    __shared__ Radix shared;
    long long b, l;
    gn::divide(blockIdx.x, listed, b, l);
    const long long g = which[l], at = b * segments + g;
    const Elements s = {values + b * batch_stride, use ? use + b * use_batch : nullptr, nullptr,
                        order, item_stride, place_stride, use_item, 0, offsets[g], width, (offsets[g + 1] - offsets[g]) * width,
                        centre ? centre[at] : 0.0, centre != nullptr};
    Key low, high;
    long long found;
    range(s, shared, 0, false, low, high, found);
    if (threadIdx.x == 0) n[at] = found;
    for (int p = 0; p < count; ++p) {
        double below = GN_NAN, above = GN_NAN, share = 0;
        long long rank = (found - 1) / 2;
        if (probabilities && found) position(probabilities[p], found, rank, share);
        if (found) statistics(s, shared, low, high, found, rank, below, above);
        if (threadIdx.x == 0)
            result[at * count + p] = probabilities ? between(below, above, share) : found & 1 ? below : middle(below, above);
    }
}

// A block of RADIX_THREADS a (batch entry, listed segment), with weights; room (a power of two) places of scratch each.
extern "C" __global__ void __launch_bounds__(RADIX_THREADS, 2)
segment_median_sorted(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
                      const bool* use, long long use_batch, long long use_item,
                      const double* weights, long long weight_batch, long long weight_item,
                      const double* centre, const int* order, const long long* offsets, long long segments,
                      const int* which, long long listed, long long batch, long long room,
                      unsigned long long* keys, unsigned* index, double* ordered, long long* n, double* result) {
    long long b, l;
    gn::divide(blockIdx.x, listed, b, l);
    const long long g = which[l], at = b * segments + g, own = (long long)blockIdx.x * room;
    const Elements s = {values + b * batch_stride, use ? use + b * use_batch : nullptr, weights + b * weight_batch,
                        order, item_stride, place_stride, use_item, weight_item, offsets[g], width, (offsets[g + 1] - offsets[g]) * width,
                        centre ? centre[at] : 0.0, centre != nullptr};
    keys += own, index += own, ordered += own;
    for (long long e = threadIdx.x; e < room; e += blockDim.x) {
        keys[e] = e < s.count ? s.key(e) : LAST;
        index[e] = (unsigned)e;
    }
    sort<false, true>(keys, index, room, threadIdx.x, blockDim.x);
    const long long found = observed(keys, room);
    for (long long i = threadIdx.x; i < found; i += blockDim.x) ordered[i] = s.weight(index[i]);
    __syncthreads();
    if (threadIdx.x != 0) return;
    n[at] = found;
    result[at] = weighted_median(keys, ordered, found);
}
