// Number, mean and standard deviation of every segment, in two passes over registers.
//
// Shapes    values (batch, item, width) with three strides; use and weights (batch, item) with two, or null;
//           order int32 (item,) or null (items follow one another); offsets int64 (segment + 1,);
//           n int64, mean and deviation float64 (batch, segment).
// Kernels   segment_moments_small   segments of <= 512 elements: 8 or 32 threads each, 16 elements a thread
//           segment_moments_chunk   one block of 128 threads a chunk of CHUNK elements (a segment of one chunk ends here)
//           segment_moments_merge   one warp a segment of several chunks: joins their moments in order, in float64
// Accuracy  The first pass sums differences from an element and gives K, the second sums (x - K) and (x - K)^2, so the
//           mean is K + d with d small: written as one float64. Sums of one thread are REAL, of threads float64.
//           In float, differences beyond 1e18 overflow when squared; the deviation is then infinite.
// Shared    static, < 1 KiB.
// Order     No atomics. Which thread reads an element and how sums are joined follow from the number of elements of
//           the segment, its width and IN alone, never from the batch, the card or the layout of the items. Exception:
//           where items lie closer than the places of one item (items_inside), elements are counted along the items.
// Planted   GN_PLANT_MOMENTS_SYNC (race between the warps of a chunk), GN_PLANT_MOMENTS_END (reads behind the last element).
#include "real.cuh"

#define TILE (sizeof(REAL) == 8 ? 16 : 32)  // elements a thread holds
#define THREADS 128
#define CHUNK (THREADS * TILE)
#define SMALL_TILE 16

namespace {

// The elements of one segment of one batch entry. Counted along the places of an item, then along the items; with
// items_inside the other way round.
struct Elements {
    const IN* values;
    const bool* use;
    const REAL* weights;
    const int* order;
    long long item_stride, place_stride, use_stride, weight_stride;
    long long first, inner, count;
    bool items_inside;

    __device__ long long item(long long j) const { return order ? (long long)order[first + j] : first + j; }

    // Whether elements lie one behind another in memory, with nothing else to read.
    __device__ bool flat() const {
        if (order || use || weights) return false;
        return items_inside ? item_stride == 1 && inner == count : place_stride == 1 && item_stride == inner;
    }
};

template <int N>
struct Held {
    REAL x[N], w[N];
    unsigned used;
};

template <bool WEIGHTED, int N>
__device__ __forceinline__ void keep(Held<N>& held, int at, IN raw, bool use, REAL w) {
    const REAL x = gn::as<REAL>(raw);
    const bool ok = use && isfinite(x) && (!WEIGHTED || w > 0);
    held.x[at] = ok ? x : REAL(0);
    if (WEIGHTED) held.w[at] = ok ? w : REAL(0);
    held.used |= (ok ? 1u : 0u) << at;
}

// Elements [from, until) into the registers of `threads` threads, packs of 16 bytes in turn.
template <bool WEIGHTED, int N>
__device__ __forceinline__ void load(const Elements& s, long long from, long long until, int thread, int threads, Held<N>& held) {
    constexpr int V = gn::PACK;
    held.used = 0;
#pragma unroll
    for (int i = 0; i < N; ++i) {
        held.x[i] = 0;
        if (WEIGHTED) held.w[i] = 0;
    }
    if (!WEIGHTED && s.flat()) {
        const IN* start = s.values + (s.items_inside ? s.first : s.first * s.item_stride) + from;
        if (gn::aligned16(start)) {
            const gn::Pack<IN, V>* packs = reinterpret_cast<const gn::Pack<IN, V>*>(start);
            const long long whole = (until - from) / V;
            gn::Pack<IN, V> raw[N / V];
#pragma unroll
            for (int k = 0; k < N / V; ++k)
                if ((long long)k * threads + thread < whole) raw[k] = packs[k * threads + thread];
#pragma unroll
            for (int k = 0; k < N / V; ++k) {
                const long long p = (long long)k * threads + thread;
                if (p < whole) {
#pragma unroll
                    for (int v = 0; v < V; ++v) keep<false, N>(held, k * V + v, raw[k].at[v], true, REAL(1));
                } else {
#pragma unroll
                    for (int v = 0; v < V; ++v)
                        if (from + p * V + v < until) keep<false, N>(held, k * V + v, start[p * V + v], true, REAL(1));
                }
            }
            return;
        }
    }
    long long outer, inner, outer_step, inner_step;
    gn::divide(from + (long long)thread * V, s.inner, outer, inner);
    gn::divide((long long)threads * V, s.inner, outer_step, inner_step);
#ifdef GN_PLANT_MOMENTS_END  // asan: test_moments.py -k planted
    until += 1;
#endif
#pragma unroll
    for (int k = 0; k < N / V; ++k) {
        const long long e = from + ((long long)k * threads + thread) * V;
        long long o = outer, i = inner;
#pragma unroll
        for (int v = 0; v < V; ++v) {
            if (e + v < until) {
                const long long item = s.item(s.items_inside ? i : o), place = s.items_inside ? o : i;
                const bool use = !s.use || s.use[item * s.use_stride];
                const REAL w = WEIGHTED ? s.weights[item * s.weight_stride] : REAL(1);
                keep<WEIGHTED, N>(held, k * V + v, s.values[item * s.item_stride + place * s.place_stride], use, w);
            }
            if (++i == s.inner) i = 0, ++o;
        }
        outer += outer_step;
        inner += inner_step;
        if (inner >= s.inner) inner -= s.inner, ++outer;
    }
}

struct Moments {
    double n, weight, mean, square;  // square: sum of w (x - mean)^2
};

struct Sums {
    double weight, first, second;
    int n;
};

// First pass of a team of up to 32 threads: weight and sum of (x - start), start being its first used element.
template <bool WEIGHTED, int N>
__device__ __forceinline__ Sums first_pass(const Held<N>& held, int lanes, REAL& start) {
    REAL own = 0, sum = 0, weight = 0;
#pragma unroll
    for (int i = N - 1; i >= 0; --i)
        if (held.used >> i & 1) own = held.x[i];
    const int lane = threadIdx.x & 31, begin = lane & ~(lanes - 1);
    const unsigned filled = __ballot_sync(GN_ALL_LANES, held.used != 0) >> begin & (GN_ALL_LANES >> (32 - lanes));
    start = __shfl_sync(GN_ALL_LANES, own, filled ? begin + __ffs((int)filled) - 1 : begin);
#pragma unroll
    for (int i = 0; i < N; ++i)
        if (held.used >> i & 1) {
            sum += WEIGHTED ? held.w[i] * (held.x[i] - start) : held.x[i] - start;
            if (WEIGHTED) weight += held.w[i];
        }
    Sums r;
    r.n = gn::team_sum(__popc(held.used), lanes);
    r.first = gn::team_sum((double)sum, lanes);
    r.weight = WEIGHTED ? gn::team_sum((double)weight, lanes) : (double)r.n;
    r.second = 0;
    return r;
}

// Second pass: sums of (x - k) and of its square.
template <bool WEIGHTED, int N>
__device__ __forceinline__ void second_pass(const Held<N>& held, int lanes, REAL k, Sums& r) {
    REAL first = 0, second = 0;
#pragma unroll
    for (int i = 0; i < N; ++i)
        if (held.used >> i & 1) {
            const REAL d = held.x[i] - k, wd = WEIGHTED ? held.w[i] * d : d;
            first += wd;
            second += wd * d;
        }
    r.first = gn::team_sum((double)first, lanes);
    r.second = gn::team_sum((double)second, lanes);
}

__device__ __forceinline__ Moments around(REAL k, const Sums& s) {
    const double shift = s.n ? s.first / s.weight : 0.0;
    const double square = s.second - s.first * shift;
    // Not fmax: it would hide a NaN.
    return {(double)s.n, s.weight, (double)k + shift, square < 0 ? 0.0 : square};
}

// Chan's formula; a before b.
__device__ __forceinline__ Moments join(const Moments& a, const Moments& b) {
    if (b.n == 0) return a;
    if (a.n == 0) return b;
    const double weight = a.weight + b.weight, d = b.mean - a.mean, share = b.weight / weight;
    return {a.n + b.n, weight, a.mean + d * share, a.square + b.square + d * d * a.weight * share};
}

__device__ void finish(const Moments& m, long long ddof, long long at, long long* n, double* mean, double* deviation) {
    const double left = m.n - (double)ddof;
    n[at] = (long long)m.n;
    mean[at] = m.n > 0 ? m.mean : GN_NAN;
    deviation[at] = m.n > 0 && left > 0 ? sqrt(m.square / m.weight * m.n / left) : GN_NAN;
}

template <bool WEIGHTED>
__device__ __forceinline__ Moments small(const Elements& s, int lanes) {
    Held<SMALL_TILE> held;
    load<WEIGHTED>(s, 0, s.count, threadIdx.x & (lanes - 1), lanes, held);
    REAL start;
    Sums sums = first_pass<WEIGHTED>(held, lanes, start);
    const REAL k = sums.n ? (REAL)((double)start + sums.first / sums.weight) : REAL(0);
    second_pass<WEIGHTED>(held, lanes, k, sums);
    return around(k, sums);
}

template <bool WEIGHTED>
__device__ __forceinline__ Moments chunk(const Elements& s, long long from, long long until) {
    __shared__ Sums first[THREADS / 32], second[THREADS / 32];
    __shared__ REAL starts[THREADS / 32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    Held<TILE> held;
    load<WEIGHTED>(s, from, until, threadIdx.x, THREADS, held);
    REAL start;
    Sums sums = first_pass<WEIGHTED>(held, 32, start);
    if (lane == 0) first[warp] = sums, starts[warp] = start;
#ifndef GN_PLANT_MOMENTS_SYNC  // tsan: test_moments.py -k planted
    __syncthreads();
#endif
    // Every thread joins the warps in order, from the first one that has a value.
    double reference = 0, total = 0, weight = 0;
    int n = 0;
    for (int i = 0; i < THREADS / 32; ++i) {
        if (first[i].n == 0) continue;
        if (n == 0) reference = (double)starts[i];
        total += first[i].weight * ((double)starts[i] - reference) + first[i].first;
        weight += first[i].weight;
        n += first[i].n;
    }
    const REAL k = n ? (REAL)(reference + total / weight) : REAL(0);
    second_pass<WEIGHTED>(held, 32, k, sums);
    if (lane == 0) second[warp] = sums;
    __syncthreads();
    Sums all = {weight, 0.0, 0.0, n};
    for (int i = 0; i < THREADS / 32; ++i) all.first += second[i].first, all.second += second[i].second;
    return around(k, all);
}

}  // namespace

// `listed` segments named by `which`, `lanes` (8 or 32) threads each, blocks of THREADS.
extern "C" __global__ void __launch_bounds__(THREADS)
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
    const long long g = which[l], items = inside ? offsets[g + 1] - offsets[g] : 0;
    const Elements s = {values + b * batch_stride, use ? use + b * use_batch : nullptr,
                        weights ? weights + b * weight_batch : nullptr, order,
                        item_stride, place_stride, use_item, weight_item, offsets[g],
                        items_inside ? (items > 0 ? items : 1) : width, items * width, items_inside != 0};
    const Moments m = weights ? small<true>(s, lanes) : small<false>(s, lanes);
    if (inside && (threadIdx.x & (lanes - 1)) == 0) finish(m, ddof, b * segments + g, n, mean, deviation);
}

// One block a (batch entry, chunk): chunk c is part `chunk_part[c]` of segment `chunk_segment[c]`.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
segment_moments_chunk(const IN* values, long long batch_stride, long long item_stride, long long place_stride, long long width,
                      const bool* use, long long use_batch, long long use_item,
                      const REAL* weights, long long weight_batch, long long weight_item,
                      const int* order, const long long* offsets, long long segments, int items_inside,
                      const int* chunk_segment, const int* chunk_part, long long chunks, long long ddof,
                      double* parts, long long* n, double* mean, double* deviation) {
    long long b, c;
    gn::divide(blockIdx.x, chunks, b, c);
    const long long g = chunk_segment[c], items = offsets[g + 1] - offsets[g], count = items * width;
    const Elements s = {values + b * batch_stride, use ? use + b * use_batch : nullptr,
                        weights ? weights + b * weight_batch : nullptr, order,
                        item_stride, place_stride, use_item, weight_item, offsets[g],
                        items_inside ? items : width, count, items_inside != 0};
    const long long from = (long long)chunk_part[c] * CHUNK, until = from + CHUNK < count ? from + CHUNK : count;
    const Moments m = weights ? chunk<true>(s, from, until) : chunk<false>(s, from, until);
    if (threadIdx.x != 0) return;
    if (count <= CHUNK) {
        finish(m, ddof, b * segments + g, n, mean, deviation);
    } else {
        double* part = parts + (b * chunks + c) * 4;
        part[0] = m.n, part[1] = m.weight, part[2] = m.mean, part[3] = m.square;
    }
}

// One warp a (batch entry, segment of several chunks): lane i joins the i-th thirty-second of them, then lanes join.
extern "C" __global__ void __launch_bounds__(THREADS)
segment_moments_merge(const double* parts, long long chunks, const int* which, const int* first_chunk, const int* chunk_count,
                      long long listed, long long batch, long long segments, long long ddof,
                      long long* n, double* mean, double* deviation) {
    const long long pair = (long long)blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5);
    if (pair >= batch * listed) return;  // whole warps
    long long b, l;
    gn::divide(pair, listed, b, l);
    const int lane = threadIdx.x & 31, count = chunk_count[l], each = (count + 31) / 32;
    const double* own = parts + (b * chunks + first_chunk[l]) * 4;
    Moments m = {0, 0, 0, 0};
    for (long long i = (long long)lane * each; i < (long long)(lane + 1) * each && i < count; ++i)
        m = join(m, {own[4 * i], own[4 * i + 1], own[4 * i + 2], own[4 * i + 3]});
    for (int step = 1; step < 32; step <<= 1) {
        Moments next;
        next.n = __shfl_down_sync(GN_ALL_LANES, m.n, step);
        next.weight = __shfl_down_sync(GN_ALL_LANES, m.weight, step);
        next.mean = __shfl_down_sync(GN_ALL_LANES, m.mean, step);
        next.square = __shfl_down_sync(GN_ALL_LANES, m.square, step);
        if (lane + step < 32) m = join(m, next);  // lane 0 ends with all of them, in order
    }
    if (lane == 0) finish(m, ddof, b * segments + which[l], n, mean, deviation);
}
