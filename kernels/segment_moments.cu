// Number, mean and standard deviation of every segment, in two passes over shared memory.
//
// Shapes    values (batch, item, width) with three strides; use and weights (batch, item) with two, or null;
//           order int32 (item,) or null (items follow one another); offsets int64 (segment + 1,);
//           n int64, mean and deviation float64 (batch, segment).
// Kernels   segment_moments_small   segments of <= 512 elements: 8 or 32 threads each, 16 elements a thread
//           segment_moments_chunk   one block of 128 threads a chunk of CHUNK elements (a segment of one chunk ends here)
//           segment_moments_merge   one warp a segment of several chunks: joins their moments in order, in float64
//           segment_sums            one warp 32 * TILE elements: their sum, whatever they are
// Accuracy, order   moments.cuh. No atomics.
// Shared    what a block keeps: its elements as IN, and their weights as REAL where use or weights are given;
//           static, < 1 KiB.
// Planted   moments.cuh: GN_PLANT_MOMENTS_SYNC (race between the warps of a chunk), GN_PLANT_MOMENTS_END (reads behind
//           the last element).
#include "moments.cuh"

namespace {

__device__ void finish(const Moments& m, long long ddof, long long at, long long* n, double* mean, double* deviation) {
    const double left = m.n - (double)ddof;
    n[at] = (long long)m.n;
    mean[at] = m.n > 0 ? m.mean : GN_NAN;
    deviation[at] = m.n > 0 && left > 0 ? sqrt(m.square / m.weight * m.n / left) : GN_NAN;
}

// Elements [from, until) of N a thread into shared memory, with their weights if there are any.
template <int N>
__device__ __forceinline__ Tile keep(const Elements& s, const View<const IN>& values, const Weights& given, long long from, long long until,
                                     int thread, int threads, IN* kept, REAL* weights) {
#ifdef GN_PLANT_MOMENTS_END  // asan: test_moments.py -k planted
    until += 1;
#endif
    const Walk w = walk(s, from, until, thread, threads);
    bring<N>(s, values, w, kept);
    const bool weighted = given.use || given.weights.at;
    if (weighted) bring_weights(s, given, w, weights);
    return {kept, weighted ? weights : nullptr, (int)(until - from), thread, threads};
}

}  // namespace

// `listed` segments named by `which`, `lanes` (8 or 32) threads each, blocks of THREADS.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_moments_small(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
                      const bool* use, long long use_batch, long long use_item,
                      const REAL* weights, long long weight_batch, long long weight_item,
                      const int* order, const long long* offsets, long long segments, int items_inside,
                      const int* which, long long listed, long long batch, int lanes, long long ddof,
                      long long* n, double* mean, double* deviation) {
    const long long pair = (long long)blockIdx.x * (THREADS / lanes) + threadIdx.x / lanes;
    const bool inside = pair < batch * listed;  // all threads of a warp take part in its shuffles
    long long b, l;
    gn::divide(inside ? pair : 0, listed, b, l);
    const long long g = which[l];
    Elements s = elements(order, offsets, g, width, items_inside != 0);
    if (!inside) s.count = 0;
    const Weights given = {use ? use + b * use_batch : nullptr, use_item,
                           {weights ? weights + b * weight_batch : nullptr, weight_item, 0}};
    const View<const IN> view = {values + b * batch_stride, item_stride, place_stride};
    GN_DYNAMIC_SHARED(unsigned char, shared);
    const int own = threadIdx.x / lanes * lanes * SMALL_TILE;  // where the team's elements lie
    IN* kept = reinterpret_cast<IN*>(shared) + own;
    REAL* kept_weights = reinterpret_cast<REAL*>(shared + THREADS * SMALL_TILE * sizeof(IN)) + own;
    const Tile t = keep<SMALL_TILE>(s, view, given, 0, s.count, threadIdx.x & (lanes - 1), lanes, kept, kept_weights);
    const Moments m = small_moments<false>(t, true);
    if (inside && (threadIdx.x & (lanes - 1)) == 0) finish(m, ddof, b * segments + g, n, mean, deviation);
}

// One block a (batch entry, chunk): chunk c is part `chunk_part[c]` of segment `chunk_segment[c]`.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_moments_chunk(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
                      const bool* use, long long use_batch, long long use_item,
                      const REAL* weights, long long weight_batch, long long weight_item,
                      const int* order, const long long* offsets, long long segments, int items_inside,
                      const int* chunk_segment, const int* chunk_part, long long chunks, long long ddof,
                      double* parts, long long* n, double* mean, double* deviation) {
    long long b, c;
    gn::divide(blockIdx.x, chunks, b, c);
    const long long g = chunk_segment[c];
    const Elements s = elements(order, offsets, g, width, items_inside != 0);
    const Weights given = {use ? use + b * use_batch : nullptr, use_item,
                           {weights ? weights + b * weight_batch : nullptr, weight_item, 0}};
    const View<const IN> view = {values + b * batch_stride, item_stride, place_stride};
    const long long from = (long long)chunk_part[c] * CHUNK, until = from + CHUNK < s.count ? from + CHUNK : s.count;
    GN_DYNAMIC_SHARED(unsigned char, shared);
    IN* kept = reinterpret_cast<IN*>(shared);
    REAL* kept_weights = reinterpret_cast<REAL*>(shared + CHUNK * sizeof(IN));
    const Tile t = keep<TILE>(s, view, given, from, until, threadIdx.x, THREADS, kept, kept_weights);
    const Moments m = chunk_moments<false, 1>(t, true);
    if (threadIdx.x != 0) return;
    if (s.count <= CHUNK) finish(m, ddof, b * segments + g, n, mean, deviation);
    else write_part(m, parts + (b * chunks + c) * 4);
}

// One warp a (batch entry, segment of several chunks).
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_moments_merge(const double* parts, long long chunks, const int* which, const int* first_chunk, const int* chunk_count,
                      long long listed, long long batch, long long segments, long long ddof,
                      long long* n, double* mean, double* deviation) {
    const long long pair = (long long)blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5);
    if (pair >= batch * listed) return;  // whole warps
    long long b, l;
    gn::divide(pair, listed, b, l);
    const Moments m = join_parts(parts + (b * chunks + first_chunk[l]) * 4, chunk_count[l]);
    if ((threadIdx.x & 31) == 0) finish(m, ddof, b * segments + which[l], n, mean, deviation);
}

// Plain sums in float64: one warp a (batch entry, part), a part being 32 * TILE elements of a segment.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_sums(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
             const int* order, const long long* offsets, int items_inside, const int* part_segment, const int* part_number,
             long long parts, long long batch, double* found) {
    const long long unit = (long long)blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5);
    if (unit >= batch * parts) return;  // whole warps
    long long b, n;
    gn::divide(unit, parts, b, n);
    const Elements s = elements(order, offsets, part_segment[n], width, items_inside != 0);
    const View<const IN> view = {values + b * batch_stride, item_stride, place_stride};
    const long long from = (long long)part_number[n] * 32 * TILE, until = from + 32 * TILE < s.count ? from + 32 * TILE : s.count;
    double sum = 0;
    each_pack<2>(s, walk(s, from, until, threadIdx.x & 31, 32), [&](int, long long e, long long o, long long i) {
        REAL x[V];
#pragma unroll
        for (int v = 0; v < V; ++v) {
            x[v] = e + v < until ? gn::as<REAL>(view.at[s.position(view, o, i)]) : REAL(0);
            if (++i == s.inner) i = 0, ++o;
        }
#pragma unroll
        for (int v = 0; v < V; ++v) sum += (double)x[v];
    });
    sum = gn::team_sum(sum, 32);
    if ((threadIdx.x & 31) == 0) found[unit] = sum;
}
