// Median, median absolute deviation and quantiles of every segment, exact: the values that a full sort would give.
//
// Shapes    values (batch, item, width) with three strides; use and weights (batch, item) with two, or null;
//           centre float64 (batch, segment) or null: select among |x - centre|; order int32 (item,) or null;
//           offsets int64 (segment + 1,); probabilities float64 (probability,) or null (the median);
//           n int64 (batch, segment); result float64 (batch, segment, probability or 1).
// Kernels   segment_median_warp      segments of <= 512 elements: one warp each sorts them in shared memory
//           segment_median_block     <= 2048 elements: one block of 128 threads each, likewise
//           more: chunks of 2048 elements, `parts` of them a segment (the last ones may be empty), then a second launch
//           segment_median_chunks    one block of 128 threads a chunk sorts it and writes it down
//           segment_median_select    one block of 32 to 256 threads a (segment, probability) finds the order statistic
//                                    in the sorted chunks by binary search: up to 64 rounds over the bits of the keys
//           with weights, whose sums must be taken in the order of the values:
//           segment_median_merge     log2(parts) launches, one block of 128 threads a chunk: runs of chunks to runs of
//                                    twice the length
//           segment_median_weighted  one block of 256 threads a segment: total and cumulative sum. One thread adds up to
//                                    the median, number by number, as NumPy does; only this part has one block.
// Values    are compared as float64 whatever IN is. With weights: sorted by value, then by position; the first value
//           whose cumulative share of the weight (added one by one, over NumPy's pairwise sum) exceeds one half, at
//           exactly one half its mean with the next.
// Cost      Elements are read once. A chunk takes 66 steps over its keys in shared memory and leaves 8 bytes an element in
//           global memory; the search reads 50 to 170 keys a chunk of them in 3 to 27 rounds (a million values: many ties,
//           normal, uniform, lognormal). With weights 32 bytes an element, half of them read and written in each merge.
// Shared    8 bytes an element for keys (20 with weights), sized by the launch to a power of two; static 384 bytes in
//           segment_median_select, 8 KiB in segment_median_weighted.
// Order     No atomics. Results are elements or means of two, with weights also sums in the order of NumPy: no order of
//           work can change them. Chunks are cut by the elements of a segment alone.
// Planted   GN_PLANT_MEDIAN_SYNC (race in the sort of a block), GN_PLANT_MEDIAN_END and _CHUNK (read behind the last
//           element), GN_PLANT_MEDIAN_JOIN (race between warps that search), GN_PLANT_MEDIAN_TILE (race for weights).
#include "median_chunks.cuh"
#include "median_sort.cuh"
#include "median_weighted.cuh"

#define THREADS 128
#define CHUNK 2048  // elements
#define WEIGHTED_THREADS 256

namespace {

// Keys (and positions) of a segment, sorted; then its statistic.
template <bool WARP, bool WEIGHTED>
__device__ void select(const Elements& s, int room, Key* keys, double* weights, unsigned* index, const double* probabilities, int count,
                       int thread, int threads, long long* n, double* result) {
    sort_elements<WARP, WEIGHTED>(s, 0, room, keys, index, thread, threads);
    const int found = observed(keys, room);
    if (thread == 0) *n = found;
    if constexpr (WEIGHTED) {
        for (int i = thread; i < found; i += threads) weights[i] = s.weight(index[i]);
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

}  // namespace

// A warp a (batch entry, listed segment), `room` keys each.
extern "C" __global__ void __launch_bounds__(THREADS, 8)
segment_median_warp(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
                    const bool* use, long long use_batch, long long use_item,
                    const double* weights, long long weight_batch, long long weight_item,
                    const double* centre, const int* order, const long long* offsets, long long segments,
                    const double* probabilities, int count, const int* which, long long listed, long long batch, int room,
                    long long* n, double* result) {
    const int team = threadIdx.x >> 5, teams = THREADS / 32;
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
extern "C" __global__ void __launch_bounds__(THREADS, 8)
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
    select_in_shared<false>(s, room, 0, 1, probabilities, count, threadIdx.x, THREADS, n + at, result + at * count);
}

// A block a (batch entry, listed segment, part): elements [part * CHUNK, (part + 1) * CHUNK) of the segment, sorted, to
// chunk (pair, part) of `sorted`, and, where there are weights, to `moved`.
extern "C" __global__ void __launch_bounds__(THREADS, 8)
segment_median_chunks(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
                      const bool* use, long long use_batch, long long use_item,
                      const double* weights, long long weight_batch, long long weight_item,
                      const double* centre, const int* order, const long long* offsets, long long segments,
                      const int* which, long long listed, long long parts, Key* sorted, double* moved) {
    GN_DYNAMIC_SHARED(Key, keys);
    unsigned* index = reinterpret_cast<unsigned*>(keys + CHUNK);
    long long pair, part, b, l;
    gn::divide(blockIdx.x, parts, pair, part);
    gn::divide(pair, listed, b, l);
    const long long g = which[l], from = part * CHUNK;
    long long elements = (offsets[g + 1] - offsets[g]) * width;
#ifdef GN_PLANT_MEDIAN_CHUNK  // asan: test_median.py -k "too_large and float64"
    elements += width;
#endif
    const Elements s = {values + b * batch_stride, use ? use + b * use_batch : nullptr, weights ? weights + b * weight_batch : nullptr,
                        order, item_stride, place_stride, use_item, weight_item, offsets[g], width, elements,
                        centre ? centre[b * segments + g] : 0.0, centre != nullptr};
    sorted += (long long)blockIdx.x * CHUNK;
    if (weights) moved += (long long)blockIdx.x * CHUNK;
    if (from >= s.count) {  // the whole block
        for (int i = threadIdx.x; i < CHUNK; i += THREADS) sorted[i] = LAST;
        if (weights)
            for (int i = threadIdx.x; i < CHUNK; i += THREADS) moved[i] = 0;
        return;
    }
    if (weights) sort_elements<false, true>(s, from, CHUNK, keys, index, threadIdx.x, THREADS);
    else sort_elements<false, false>(s, from, CHUNK, keys, nullptr, threadIdx.x, THREADS);
    for (int i = threadIdx.x; i < CHUNK; i += THREADS) sorted[i] = keys[i];
    if (weights)
        for (int i = threadIdx.x; i < CHUNK; i += THREADS) moved[i] = keys[i] == LAST ? 0.0 : s.weight(index[i]);
}

// A block a (batch entry, listed segment, probability), of any number of warps. `windows`: a place for each chunk.
extern "C" __global__ void __launch_bounds__(SELECT_THREADS)
segment_median_select(const Key* sorted, long long parts, const double* probabilities, int count,
                      const int* which, long long listed, long long segments, unsigned* windows, long long* n, double* result) {
    long long pair, p, b, l;
    gn::divide(blockIdx.x, count, pair, p);
    gn::divide(pair, listed, b, l);
    const long long at = b * segments + which[l];
    const double* probability = probabilities ? probabilities + p : nullptr;
    unsigned found;
    Key below, above;
    order_statistics<CHUNK>(sorted + pair * parts * CHUNK, parts, reinterpret_cast<Window*>(windows) + (long long)blockIdx.x * parts,
                            probability, found, below, above);
    if (threadIdx.x != 0) return;
    if (p == 0) n[at] = found;
    result[at * count + p] = found ? quantile(probability, found, value_of(below), value_of(above)) : GN_NAN;
}

// A block a (pair, part): its elements to their places in the union of their run of `run` chunks and the neighbouring
// one. Equal keys of the left run come first, so that they keep their order.
extern "C" __global__ void __launch_bounds__(THREADS)
segment_median_merge(const Key* keys, const double* weights, long long parts, long long run, Key* merged, double* moved) {
    long long pair, part;
    gn::divide(blockIdx.x, parts, pair, part);
    const long long all = parts * CHUNK, length = run * CHUNK, here = part * CHUNK;
    const long long left = part / (2 * run) * (2 * length), second = left + length;
    const bool right = here >= second;
    const long long from = right ? left : second < all ? second : all;  // the other run
    const long long until = from + length < all ? from + length : all;
    keys += pair * all, weights += pair * all, merged += pair * all, moved += pair * all;
    for (long long i = here + threadIdx.x; i < here + CHUNK; i += THREADS) {
        const long long before = first_from(keys, from, until, keys[i], right) - from;  // keys of the other run
        const long long to = (right ? i - length : i) + before;
        merged[to] = keys[i];
        moved[to] = weights[i];
    }
}

// A block a (batch entry, listed segment): its keys, all sorted, and their weights.
extern "C" __global__ void __launch_bounds__(WEIGHTED_THREADS)
segment_median_weighted(const Key* keys, const double* weights, long long parts, const int* which, long long listed,
                        long long segments, long long* n, double* result) {
    long long b, l;
    gn::divide(blockIdx.x, listed, b, l);
    const long long at = b * segments + which[l], room = parts * CHUNK;
    keys += blockIdx.x * room, weights += blockIdx.x * room;
    const long long found = observed(keys, room);
    const double median = weighted_median_by_block<WEIGHTED_THREADS>(keys, weights, found);
    if (threadIdx.x == 0) n[at] = found, result[at] = median;
}
