// Weight, mean and sum of squares of the elements of a segment, in two passes over shared memory, in one order for all.
//
// Accuracy  The first pass sums differences from an element and gives K, the second sums (x - K) and (x - K)^2, so the
//           mean is K + d with d small: written as one float64. Sums of one thread are REAL, of threads float64; where
//           REAL is float and overflows or underflows (|x - K| beyond 1e18), the thread's sums are float64 too.
// Order     Which thread reads an element and how sums are joined follow from the number of elements of the segment,
//           its width and IN alone: never from the batch, the card, the layout of the items, or the kernel that asks.
//           Exception: with items_inside, elements are counted along the items.
#pragma once
#include "walk.cuh"

#define TILE (sizeof(REAL) == 8 ? 16 : 32)  // elements of a chunk that a thread keeps
#define THREADS 128                         // threads of a team that shares a chunk
#define CHUNK (THREADS * TILE)
#define SMALL_TILE 16

namespace {

// Which elements count, and how much. Everything may be null.
struct Weights {
    const bool* use;
    long long use_item;
    View<const REAL> weights;
};

// What the threads of a team keep of `count` elements in shared memory; without `w` all have weight 1.
struct Tile {
    const IN* x;
    const REAL* w;
    int count, thread, threads;
};

// The thread's weights to kept[0 …]; 0 for those not used.
__device__ __forceinline__ void bring_weights(const Elements& s, const Weights& given, const Walk& w, REAL* kept) {
    each_pack(s, w, [&](int at, long long e, long long o, long long i) {
        each_element(s, e, w.until, o, i, [&](int v, long long o, long long i) {
            const bool use = !given.use || given.use[s.item(o, i) * given.use_item];
            kept[at + v] = !use ? REAL(0) : given.weights.at ? given.weights.at[s.position(given.weights, o, i)] : REAL(1);
        });
    });
}

// f(x, w) for the thread's elements that count; without PROPAGATE, non-finite ones do not.
template <bool PROPAGATE, class F>
__device__ __forceinline__ void each_kept(const Tile& t, F f) {
#pragma unroll 1
    for (int at = t.thread * V; at < t.count; at += t.threads * V) {
        const gn::Pack<IN, V> raw = *reinterpret_cast<const gn::Pack<IN, V>*>(t.x + at);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            if (at + v >= t.count) continue;
            const REAL x = gn::as<REAL>(raw.at[v]), w = t.w ? t.w[at + v] : REAL(1);
            if (w > 0 && (PROPAGATE || isfinite(x))) f(x, w);
        }
    }
}

// Whether there is such an element, and the first one.
template <bool PROPAGATE>
__device__ __forceinline__ bool first_kept(const Tile& t, REAL& x) {
#pragma unroll 1
    for (int at = t.thread * V; at < t.count; at += t.threads * V)
#pragma unroll 1
        for (int v = at; v < at + V && v < t.count; ++v) {
            x = gn::as<REAL>(t.x[v]);
            if ((!t.w || t.w[v] > 0) && (PROPAGATE || isfinite(x))) return true;
        }
    return false;
}

struct Moments {
    double n, weight, mean, square;  // square: sum of w (x - mean)^2
};

struct Sums {
    double weight, first, second;
    int n;
};

// First pass of a team of up to 32 threads: weight and sum of w (x - start), start being its first element that counts.
template <bool PROPAGATE>
__device__ __forceinline__ Sums first_pass(const Tile& t, int lanes, REAL& start) {
    REAL own = 0, sum = 0, weight = 0;
    const bool some = first_kept<PROPAGATE>(t, own);
    int n = 0;
    const int lane = threadIdx.x & 31, begin = lane & ~(lanes - 1);
    const unsigned filled = __ballot_sync(GN_ALL_LANES, some) >> begin & (GN_ALL_LANES >> (32 - lanes));
    start = __shfl_sync(GN_ALL_LANES, own, filled ? begin + __ffs((int)filled) - 1 : begin);
    each_kept<PROPAGATE>(t, [&](REAL x, REAL w) {
        sum += w * (x - start);
        weight += w;
        ++n;
    });
    Sums r;
    r.n = gn::team_sum(n, lanes);
    r.first = gn::team_sum((double)sum, lanes);
    r.weight = gn::team_sum((double)weight, lanes);
    r.second = 0;
    const bool again = sizeof(REAL) == 4 && !isfinite(r.first);
    if (__any_sync(GN_ALL_LANES, again)) {  // rare: the sum, or a difference, is beyond the range of float
        double wide = 0;
        each_kept<PROPAGATE>(t, [&](REAL x, REAL w) { wide += (double)w * ((double)x - (double)start); });
        wide = gn::team_sum(wide, lanes);
        if (again) r.first = wide;
    }
    return r;
}

// Second pass: sums of w (x - k) and of w (x - k)^2.
template <bool PROPAGATE>
__device__ __forceinline__ void second_pass(const Tile& t, int lanes, REAL k, Sums& r) {
    REAL first = 0, second = 0, some = 0;
    each_kept<PROPAGATE>(t, [&](REAL x, REAL w) {
        const REAL d = x - k, wd = w * d;
        first += wd;
        second += wd * d;
        some = d != 0 ? d : some;
    });
    r.first = gn::team_sum((double)first, lanes);
    r.second = gn::team_sum((double)second, lanes);
    const bool again = sizeof(REAL) == 4 && !(r.second >= 1e-20 && r.second < 1e37) && some != 0;
    const unsigned who = __ballot_sync(GN_ALL_LANES, again);
    if (who) {  // rare: squares beyond the range of float, or not finite at all
        double wide_first = 0, wide_second = 0;
        each_kept<PROPAGATE>(t, [&](REAL x, REAL w) {
            const double d = (double)x - (double)k, wd = (double)w * d;
            wide_first += wd;
            wide_second += wd * d;
        });
        wide_first = gn::team_sum(wide_first, lanes);
        wide_second = gn::team_sum(wide_second, lanes);
        const int begin = threadIdx.x & 31 & ~(lanes - 1);
        if (who >> begin & (GN_ALL_LANES >> (32 - lanes))) r.first = wide_first, r.second = wide_second;
    }
}

// Moments of a team from its sums around k; without `centred` they are those around 0, which k must then be.
__device__ __forceinline__ Moments around(REAL k, const Sums& s, bool centred) {
    if (!centred) return {(double)s.n, s.weight, 0.0, s.second};
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

// A whole segment that `lanes` (8 or 32) threads keep; all of them get its moments.
template <bool PROPAGATE>
__device__ __forceinline__ Moments small_moments(const Tile& t, bool centred) {
    REAL start;
    Sums sums = first_pass<PROPAGATE>(t, t.threads, start);
    const REAL k = sums.n && centred ? (REAL)((double)start + sums.first / sums.weight) : REAL(0);
    second_pass<PROPAGATE>(t, t.threads, k, sums);
    return around(k, sums, centred);
}

// A chunk that a team of THREADS keeps; all of them get its moments. All threads of the block, of up to TEAMS teams,
// must call this.
template <bool PROPAGATE, int TEAMS>
__device__ __forceinline__ Moments chunk_moments(const Tile& t, bool centred) {
    constexpr int WARPS = THREADS / 32;
    __shared__ Sums first[TEAMS * WARPS], second[TEAMS * WARPS];
    __shared__ REAL starts[TEAMS * WARPS];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, begin = warp & ~(WARPS - 1);
    REAL start;
    Sums sums = first_pass<PROPAGATE>(t, 32, start);
    if (lane == 0) first[warp] = sums, starts[warp] = start;
#ifndef GN_PLANT_MOMENTS_SYNC  // tsan: test_moments.py -k planted
    __syncthreads();
#endif
    // Every thread joins the warps in order, from the first one that has a value.
    double reference = 0, total = 0, weight = 0;
    int n = 0;
    for (int i = begin; i < begin + WARPS; ++i) {
        if (first[i].n == 0) continue;
        if (n == 0) reference = (double)starts[i];
        total += first[i].weight * ((double)starts[i] - reference) + first[i].first;
        weight += first[i].weight;
        n += first[i].n;
    }
    const REAL k = n && centred ? (REAL)(reference + total / weight) : REAL(0);
    second_pass<PROPAGATE>(t, 32, k, sums);
    if (lane == 0) second[warp] = sums;
    __syncthreads();
    Sums all = {weight, 0.0, 0.0, n};
    for (int i = begin; i < begin + WARPS; ++i) all.first += second[i].first, all.second += second[i].second;
    return around(k, all, centred);
}

// A part of a segment as four numbers in memory.
__device__ __forceinline__ void write_part(const Moments& m, double* part) { part[0] = m.n, part[1] = m.weight, part[2] = m.mean, part[3] = m.square; }

// `count` parts joined by one warp: lane i joins the i-th thirty-second of them, then the lanes; lane 0 gets it.
__device__ __forceinline__ Moments join_parts(const double* parts, int count) {
    const int lane = threadIdx.x & 31, each = (count + 31) / 32;
    Moments m = {0, 0, 0, 0};
    for (long long i = (long long)lane * each; i < (long long)(lane + 1) * each && i < count; ++i)
        m = join(m, {parts[4 * i], parts[4 * i + 1], parts[4 * i + 2], parts[4 * i + 3]});
    for (int step = 1; step < 32; step <<= 1) {
        Moments next;
        next.n = __shfl_down_sync(GN_ALL_LANES, m.n, step);
        next.weight = __shfl_down_sync(GN_ALL_LANES, m.weight, step);
        next.mean = __shfl_down_sync(GN_ALL_LANES, m.mean, step);
        next.square = __shfl_down_sync(GN_ALL_LANES, m.square, step);
        if (lane + step < 32) m = join(m, next);  // lane 0 ends with all of them, in order
    }
    return m;
}

}  // namespace
