// Standardize every segment with its own mean and variance: y = act(((x - mean) * rstd) * gain + offset).
//
// Shapes    values, residual, total, out (batch, item, width) of IN and weights of REAL, each with three strides; gain and
//           offset REAL (batch, item) with two; mean float64 and rstd REAL (batch, segment); order int32 (item,) or null;
//           offsets int64 (segment + 1,); codes int32 (item,). residual, total, weights, gain, offset may be null.
//           With a residual, x is values + residual rounded to IN, which is written to total if that is there.
// Kernels   segment_standardize_small   segments of <= 512 elements: 8 or 32 threads each; one read, one write
//           segment_standardize_block   one block a segment, TEAMS teams of 128 threads, one chunk each in turn; values stay
//                                       in shared memory: one read, one write
//           segment_standardize_chunk   larger segments: moments of one chunk a block of 128 threads (moments.cuh)
//           segment_standardize_merge   one warp a segment of several chunks
//           segment_standardize_apply   y from given statistics, in the order in which values lie; the last blocks first,
//                                       whose values the cache may still hold
// Accuracy  mean = k + d (the rounded float64 and what rounding left), so a constant segment gives act(offset) exactly.
//           rstd is 1/sqrt(var + eps), and 0 where var + eps is 0. No weight at all, or no element: mean and rstd are NaN.
// Shared    what a block keeps: its elements as IN (with weights: also REAL); in block 32 bytes a chunk more; static < 9 KiB.
// Order     No atomics. Statistics have the summation tree of moments.cuh in every kernel, so which kernels serve a
//           segment changes no bit.
// Planted   GN_PLANT_STANDARDIZE_SYNC (race: moments of chunks are joined before all are there),
//           GN_PLANT_STANDARDIZE_END (writes behind the last element).
#include "standardize.cuh"

#define TEAMS 2
#define PACKS 4  // packs of one thread of segment_standardize_apply

namespace {

// What is standardized: the values, or the sum of two.
struct Source {
    View<const IN> values, residual;
    View<IN> total;
};

__device__ __forceinline__ Source source(const Call& c, const IN* values, const IN* residual, IN* total, long long b) {
    return {{values + b * c.values_batch, c.values_item, c.values_place},
            {residual ? residual + b * c.second_batch : nullptr, c.second_item, c.second_place},
            {total ? total + b * c.total_batch : nullptr, c.total_item, c.total_place}};
}

// Adds the residual to what the thread keeps, and writes the sum to total.
template <int N>
__device__ __forceinline__ void add_residual(const Elements& s, const Source& source, const Walk& w, IN* kept) {
    bring<N, true>(s, source.residual, w, kept);
    if (!source.total.at) return;
    const Packs<IN> whole = packs(s, source.total);
    each_pack(s, w, [&](int at, long long e, long long o, long long i) { store(s, source.total, whole, e, w.until, o, i, kept + at); });
}

// The thread's elements, with the residual, into shared memory, and their weights.
template <int N>
__device__ __forceinline__ void take(const Elements& s, const Source& source, const Weights& given, const Walk& w, IN* kept, REAL* kept_weights) {
    bring<N>(s, source.values, w, kept);
    if (source.residual.at) add_residual<N>(s, source, w, kept);
    if (given.weights.at) bring_weights(s, given, w, kept_weights);
}

// y of the thread's elements in [from, until), which it keeps, in their place and to `out`; stats(item) are the statistics that an item's elements meet.
template <class S>
__device__ __forceinline__ void put(const Elements& s, const View<IN>& out, const Affine& map, int activation, long long from, long long until,
                                    int thread, int threads, IN* kept, S stats) {
    const Packs<IN> whole = packs(s, out);
#ifdef GN_PLANT_STANDARDIZE_END  // asan: test_standardize.py -k planted
    until += 1;
#endif
    each_pack(s, walk(s, from, until, thread, threads), [&](int at, long long e, long long o, long long i) {
        const gn::Pack<IN, V> raw = *reinterpret_cast<const gn::Pack<IN, V>*>(kept + at);
        REAL z[V];
        long long item = s.item(o, i), row = o, place = i;
        REAL gain = map.gain_of(item), offset = map.offset_of(item);
        Stat stat = stats(item);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            z[v] = standard(gn::as<REAL>(raw.at[v]), stat) * gain + offset;
            const bool next = ++place == s.inner;
            if (next) place = 0, ++row;
            if ((next || s.items_inside) && v + 1 < V && e + v + 1 < until) {
                item = s.item(row, place);
                gain = map.gain_of(item), offset = map.offset_of(item);
                stat = stats(item);
            }
        }
        gn::Pack<IN, V> y;
#pragma unroll
        for (int v = 0; v < V; ++v) y.at[v] = gn::as<IN>(activated(z[v], activation));
        *reinterpret_cast<gn::Pack<IN, V>*>(kept + at) = y;
        store(s, out, whole, e, until, o, i, kept + at);
    });
}

// mean and rstd of a segment: written, and as its elements meet them.
__device__ __forceinline__ Stat finish(const Moments& m, const Call& c, long long at, bool write, double* mean, REAL* rstd) {
    double center = c.center ? m.mean : 0.0, r = GN_NAN;
    if (m.n > 0) {
        const double variance = m.square / m.weight + c.eps;
        r = variance == 0 ? 0.0 : 1.0 / sqrt(variance);
        if (sizeof(REAL) == 4 && r > 3.4028234663852886e38) r = 3.4028234663852886e38;  // 0 times infinity would be NaN
    } else {
        center = GN_NAN;
    }
    if (write) mean[at] = center, rstd[at] = (REAL)r;
    return stat(center, (REAL)r);
}

__device__ __forceinline__ Weights weights_of(const Call& c, const REAL* weights, long long b) {
    return {nullptr, 0, {weights ? weights + b * c.weights_batch : nullptr, c.weights_item, c.weights_place}};
}

}  // namespace

// `listed` segments named by `which`, `lanes` (8 or 32) threads each, blocks of THREADS. Without `out`, statistics only.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_standardize_small(const IN* values, const IN* residual, IN* total, const REAL* weights, const REAL* gain, const REAL* offset,
                          const int* order, const long long* offsets, const int* which, long long listed, int lanes, const Call c,
                          IN* out, double* mean, REAL* rstd) {
    const long long pair = (long long)blockIdx.x * (THREADS / lanes) + threadIdx.x / lanes;
    const bool inside = pair < c.batch * listed;  // all threads of a warp take part in its shuffles
    long long b, l;
    gn::divide(inside ? pair : 0, listed, b, l);
    const long long g = which[l];
    Elements s = elements(order, offsets, g, c.width, c.items_inside != 0);
    if (!inside) s.count = 0;
    GN_DYNAMIC_SHARED(unsigned char, shared);
    const int thread = threadIdx.x & (lanes - 1), own = threadIdx.x / lanes * lanes * SMALL_TILE;  // where the team's elements lie
    IN* kept = reinterpret_cast<IN*>(shared) + own;
    REAL* kept_weights = reinterpret_cast<REAL*>(shared + THREADS * SMALL_TILE * sizeof(IN)) + own;
    take<SMALL_TILE>(s, source(c, values, residual, total, b), weights_of(c, weights, b), walk(s, 0, s.count, thread, lanes), kept, kept_weights);
    const Tile t = {kept, weights ? kept_weights : nullptr, (int)s.count, thread, lanes};
    const Stat stat = finish(small_moments<true>(t, c.center), c, b * c.segments + g, inside && thread == 0, mean, rstd);
    if (!out) return;
    const View<IN> to = {out + b * c.out_batch, c.out_item, c.out_place};
    put(s, to, affine(c, gain, offset, b), (int)c.activation, 0, s.count, thread, lanes, kept, [&](long long) { return stat; });
}

// One block of `teams` teams of THREADS a (batch entry, segment named by `which`), of at most `most` chunks.
extern "C" __global__ void __launch_bounds__(TEAMS * THREADS, 2)
segment_standardize_block(const IN* values, const IN* residual, IN* total, const REAL* weights, const REAL* gain, const REAL* offset,
                          const int* order, const long long* offsets, const int* which, long long listed, int most, const Call c,
                          IN* out, double* mean, REAL* rstd) {
    GN_DYNAMIC_SHARED(unsigned char, shared);
    __shared__ Stat found;
    double* parts = reinterpret_cast<double*>(shared);
    IN* kept = reinterpret_cast<IN*>(parts + 4 * most);
    REAL* kept_weights = reinterpret_cast<REAL*>(kept + (long long)most * CHUNK);
    long long b, l;
    gn::divide(blockIdx.x, listed, b, l);
    const long long g = which[l];
    const Elements s = elements(order, offsets, g, c.width, c.items_inside != 0);
    const int teams = blockDim.x / THREADS, team = threadIdx.x / THREADS, thread = threadIdx.x & (THREADS - 1);
    const int chunks = (int)((s.count + CHUNK - 1) / CHUNK);
    const auto begin = [&](int chunk) { return (long long)chunk * CHUNK; };
    const auto end = [&](int chunk) { return begin(chunk + 1) < s.count ? begin(chunk + 1) : s.count; };

    const auto walk_of = [&](int chunk) { return walk(s, begin(chunk), end(chunk), thread, THREADS); };

    const Source from = source(c, values, residual, total, b);
#pragma unroll 1
    for (int chunk = team; chunk < chunks; chunk += teams) bring<TILE>(s, from.values, walk_of(chunk), kept + begin(chunk));
    if (residual) {  // loops of their own: what they need takes registers
#pragma unroll 1
        for (int chunk = team; chunk < chunks; chunk += teams) add_residual<TILE>(s, from, walk_of(chunk), kept + begin(chunk));
    }
    if (weights) {
#pragma unroll 1
        for (int chunk = team; chunk < chunks; chunk += teams) bring_weights(s, weights_of(c, weights, b), walk_of(chunk), kept_weights + begin(chunk));
    }
#pragma unroll 1
    for (int first = 0; first < chunks; first += teams) {
        const int chunk = first + team;
        Tile t = {nullptr, nullptr, 0, thread, THREADS};
        if (chunk < chunks) t = {kept + begin(chunk), weights ? kept_weights + begin(chunk) : nullptr, (int)(end(chunk) - begin(chunk)), thread, THREADS};
        const Moments m = chunk_moments<true, TEAMS>(t, c.center);
        if (chunk < chunks && thread == 0) write_part(m, parts + 4 * chunk);
    }
#ifndef GN_PLANT_STANDARDIZE_SYNC  // tsan: test_standardize.py -k planted
    __syncthreads();
#endif
    if (threadIdx.x < 32) {
        const Moments m = join_parts(parts, chunks);
        if (threadIdx.x == 0) found = finish(m, c, b * c.segments + g, true, mean, rstd);
    }
    __syncthreads();
    const Stat stat = found;
    const Affine map = affine(c, gain, offset, b);
    const View<IN> to = {out + b * c.out_batch, c.out_item, c.out_place};
#pragma unroll 1
    for (int chunk = team; chunk < chunks; chunk += teams)
        put(s, to, map, (int)c.activation, begin(chunk), end(chunk), thread, THREADS, kept + begin(chunk), [&](long long) { return stat; });
}

// One block a (batch entry, chunk): chunk n is part `chunk_part[n]` of segment `chunk_segment[n]`.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_standardize_chunk(const IN* values, const IN* residual, IN* total, const REAL* weights, const int* order, const long long* offsets,
                          const int* chunk_segment, const int* chunk_part, long long chunks, const Call c,
                          double* parts, double* mean, REAL* rstd) {
    long long b, n;
    gn::divide(blockIdx.x, chunks, b, n);
    const long long g = chunk_segment[n];
    const Elements s = elements(order, offsets, g, c.width, c.items_inside != 0);
    const long long from = (long long)chunk_part[n] * CHUNK, until = from + CHUNK < s.count ? from + CHUNK : s.count;
    GN_DYNAMIC_SHARED(unsigned char, shared);
    IN* kept = reinterpret_cast<IN*>(shared);
    REAL* kept_weights = reinterpret_cast<REAL*>(kept + CHUNK);
    take<TILE>(s, source(c, values, residual, total, b), weights_of(c, weights, b), walk(s, from, until, threadIdx.x, THREADS), kept, kept_weights);
    const Tile t = {kept, weights ? kept_weights : nullptr, (int)(until - from), (int)threadIdx.x, THREADS};
    const Moments m = chunk_moments<true, 1>(t, c.center);
    if (threadIdx.x != 0) return;
    if (s.count <= CHUNK) finish(m, c, b * c.segments + g, true, mean, rstd);
    else write_part(m, parts + (b * chunks + n) * 4);
}

// One warp a (batch entry, segment of several chunks).
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_standardize_merge(const double* parts, long long chunks, const int* which, const int* first_chunk, const int* chunk_count,
                          long long listed, const Call c, double* mean, REAL* rstd) {
    const long long pair = (long long)blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5);
    if (pair >= c.batch * listed) return;  // whole warps
    long long b, l;
    gn::divide(pair, listed, b, l);
    const Moments m = join_parts(parts + (b * chunks + first_chunk[l]) * 4, chunk_count[l]);
    finish(m, c, b * c.segments + which[l], (threadIdx.x & 31) == 0, mean, rstd);
}

// Blocks of THREADS, PACKS packs a thread, `tiles` blocks a batch entry.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_standardize_apply(const IN* values, const IN* residual, IN* total, const REAL* gain, const REAL* offset,
                          const int* codes, const double* mean, const REAL* rstd, long long tiles, const Call c, IN* out) {
    long long b, tile;
    gn::divide((long long)gridDim.x - 1 - blockIdx.x, tiles, b, tile);
    const bool items_inside = c.items_inside != 0;
    const Elements s = {nullptr, 0, items_inside ? c.items : c.width, c.items * c.width, items_inside};
    const long long from = tile * (PACKS * V * THREADS);
    const long long until = from + PACKS * V * THREADS < s.count ? from + PACKS * V * THREADS : s.count;
    __shared__ gn::Pack<IN, V> shared[PACKS * THREADS];
    IN* kept = shared[0].at;
    take<PACKS * V>(s, source(c, values, residual, total, b), Weights{}, walk(s, from, until, threadIdx.x, THREADS), kept, nullptr);
    const View<IN> to = {out + b * c.out_batch, c.out_item, c.out_place};
    const double* means = mean + b * c.segments;
    const REAL* factors = rstd + b * c.segments;
    put(s, to, affine(c, gain, offset, b), (int)c.activation, from, until, threadIdx.x, THREADS, kept,
        [&](long long item) { return stat(means[codes[item]], factors[codes[item]]); });
}
