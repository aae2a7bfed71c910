// The summation tree of the gradients of standardize, and the gradient of one element; every kernel uses these.
//
//   g = grad * act'(z), h = g * gain       of an element
//   A = sum of g * xh, B = sum of g        of the places of an item: pieces of 32 * TILE places, each summed by up to 32
//                                          lanes (REAL per lane, float64 over lanes), pieces in a fixed order
//   S2 = sum of gain * A, S1 = of gain * B over the items of a segment: 8, 32 or 128 threads, in float64
//   dx = rstd * (h - w * (c1 + xh * c2))   with c1 = S1' / sum of w, c2 = S2' / sum of w
// None of it depends on where elements lie or on the batch.
#pragma once
#include "standardize.cuh"

namespace {

struct Pair {
    double a, b;
};

struct Gradient {
    REAL xh, g;
};

// With weights, nothing flows through an element that is not finite: either its weight is 0, or rstd is NaN.
struct How {
    int activation;
    bool weighted;
};

__device__ __forceinline__ How how(const Call& c) { return {(int)c.activation, c.weighted != 0}; }

__device__ __forceinline__ Gradient gradient(IN x, IN grad, const Stat& stat, REAL gain, REAL offset, const How& how) {
    const REAL value = gn::as<REAL>(x), xh = standard(value, stat), g = gn::as<REAL>(grad);
    if (how.weighted && !isfinite(value)) return {stat.r * 0, REAL(0)};
    return {xh, how.activation == NOTHING ? g : g * slope(xh * gain + offset, how.activation)};
}

// What a lane sums of one piece: packs lane, lane + lanes, … of `count` places, which lie in shared memory at
// base + place * step.
__device__ __forceinline__ void piece_sums(const IN* x, const IN* grad, int base, int step, int count, int lane, int lanes, const Stat& stat,
                                           REAL gain, REAL offset, const How& how, REAL& a, REAL& b) {
    a = b = 0;
#pragma unroll 1
    for (int at = lane * V; at < count; at += lanes * V) {
        gn::Pack<IN, V> px, pg;
        if (step == 1 && base % V == 0) {
            px = *reinterpret_cast<const gn::Pack<IN, V>*>(x + base + at);
            pg = *reinterpret_cast<const gn::Pack<IN, V>*>(grad + base + at);
        } else {
#pragma unroll
            for (int v = 0; v < V; ++v)
                if (at + v < count) px.at[v] = x[base + (at + v) * step], pg.at[v] = grad[base + (at + v) * step];
        }
#pragma unroll
        for (int v = 0; v < V; ++v)
            if (at + v < count) {
                const Gradient e = gradient(px.at[v], pg.at[v], stat, gain, offset, how);
                a += e.g * e.xh;
                b += e.g;
            }
    }
}

// Pieces of one item, by one warp; all lanes get the sum.
__device__ __forceinline__ Pair join_pieces(const Pair* pieces, int count) {
    Pair sum = {0, 0};
    for (int i = threadIdx.x & 31; i < count; i += 32) sum.a += pieces[i].a, sum.b += pieces[i].b;
    return {gn::team_sum(sum.a, 32), gn::team_sum(sum.b, 32)};
}

// Sum over a team of `threads` (8, 32 or 128) threads; all of them get it. All threads of the block call this together;
// a team of 128 is the first of its block, and `shared` holds a Pair for each of its warps.
__device__ __forceinline__ Pair team_total(Pair own, int threads, Pair* shared) {
    const int lanes = threads < 32 ? threads : 32;
    own = {gn::team_sum(own.a, lanes), gn::team_sum(own.b, lanes)};
    if (threads <= 32) return own;
    if ((threadIdx.x & 31) == 0 && threadIdx.x < THREADS) shared[threadIdx.x >> 5] = own;
    __syncthreads();
    Pair sum = shared[0];
    for (int i = 1; i < THREADS / 32; ++i) sum.a += shared[i].a, sum.b += shared[i].b;
    __syncthreads();
    return sum;
}

// What a thread of a team adds up over `items` items; of(j) are the sums of the j-th, gain(j) its gain.
template <class F, class G>
__device__ __forceinline__ Pair fold(int items, int thread, int threads, F of, G gain) {
    Pair sum = {0, 0};
#pragma unroll 1
    for (int at = thread * V; at < items; at += threads * V)
#pragma unroll 1
        for (int v = at; v < at + V && v < items; ++v) {
            const Pair one = of(v);
            const double w = (double)gain(v);
            sum.a += w * one.a;
            sum.b += w * one.b;
        }
    return sum;
}

// Cotangents of mean and rstd (batch, segment), and the weight of a segment; each may be null.
struct Extras {
    const double *add_mean, *add_rstd, *weight;
};

// c1 and c2 of a segment of `count` elements, from sums S2 (a) and S1 (b).
struct Coefficients {
    REAL c1, c2;
};

__device__ __forceinline__ Coefficients coefficients(Pair s, const Extras& extras, long long at, long long count, double rstd, bool center) {
    if (extras.add_mean && rstd != 0) s.b -= extras.add_mean[at] / rstd;
    if (extras.add_rstd) s.a += rstd * extras.add_rstd[at];
    const double weight = extras.weight ? extras.weight[at] : (double)count;
    return {center ? (REAL)(s.b / weight) : REAL(0), (REAL)(s.a / weight)};
}

// What one batch entry's dx is made of.
struct Parts {
    Affine map;
    View<const REAL> weights;
    View<IN> dx;
    How how;
};

// dx of the thread's elements in [from, until), which it keeps, in the place of x and to where it goes; of(item) are the statistics, c(item) the coefficients.
template <class S, class C>
__device__ __forceinline__ void put_dx(const Elements& s, const Parts& parts, long long from, long long until, int thread, int threads,
                                       IN* x, const IN* grad, S stats, C coefficients) {
    const Packs<IN> whole = packs(s, parts.dx);
#ifdef GN_PLANT_BACKWARD_END  // asan: test_standardize_backward.py -k planted
    until += 1;
#endif
    each_pack(s, walk(s, from, until, thread, threads), [&](int at, long long e, long long o, long long i) {
        const gn::Pack<IN, V> px = *reinterpret_cast<const gn::Pack<IN, V>*>(x + at), pg = *reinterpret_cast<const gn::Pack<IN, V>*>(grad + at);
        gn::Pack<IN, V> dx;
        long long row = o, place = i, item = s.item(o, i);
        REAL gain = parts.map.gain_of(item), offset = parts.map.offset_of(item);
        Stat stat = stats(item);
        Coefficients c = coefficients(item);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            if (e + v < until) {
                const Gradient one = gradient(px.at[v], pg.at[v], stat, gain, offset, parts.how);
                REAL back = c.c1 + one.xh * c.c2;
                if (parts.weights.at) {
                    const REAL w = parts.weights.at[s.position(parts.weights, row, place)];
                    back = w > 0 ? w * back : REAL(0);
                }
                dx.at[v] = gn::as<IN>(stat.r * (one.g * gain - back));
            }
            const bool next = ++place == s.inner;
            if (next) place = 0, ++row;
            if ((next || s.items_inside) && v + 1 < V && e + v + 1 < until) {
                item = s.item(row, place);
                gain = parts.map.gain_of(item), offset = parts.map.offset_of(item);
                stat = stats(item);
                c = coefficients(item);
            }
        }
        *reinterpret_cast<gn::Pack<IN, V>*>(x + at) = dx;
        store(s, parts.dx, whole, e, until, o, i, x + at);
    });
}

}  // namespace
