// Gradients of standardize: dx, and those of gain and offset.
//
// Shapes    values, grad, dx (batch, item, width) of IN and weights of REAL, each with three strides; gain and offset REAL
//           (batch, item) with two; mean, add_mean, add_rstd and weight float64 and rstd REAL (batch, segment); order and
//           codes int32 (item,); offsets int64 (segment + 1,). dgain and doffset REAL (batch, item).
//           Scratch: sums float64 (batch, item, pieces, 2), table REAL (batch, segment, 2).
// Kernels   backward_block     one block a segment whose values and gradients it keeps: reads both once
//           backward_tokens    width 1: 8, 32 or 128 threads a segment and up to `each` batch entries in turn, whose dgain
//                              and doffset are added up: (slice, item)
//           backward_rows      sums of one piece of an item, by 1 to 32 lanes
//           backward_columns   the same where items lie closer than places: 32 items a block
//           backward_items     joins the pieces of an item, by a warp
//           backward_fold      coefficients of a segment, and dgain and doffset of its items; 8, 32 or 128 threads
//           backward_apply     dx, in the order in which values lie
//           backward_reduce    adds up to SLICE rows of dgain and of doffset
// Order     No atomics; the tree of segment_standardize_backward.cuh in every kernel, so which kernels serve a segment
//           changes no bit. Sums over the batch are taken 32 entries at a time, whatever the card.
// Shared    what a block keeps, twice (values and gradients); block: 16 bytes an item and piece; tokens: 2 REAL an item;
//           static < 9 KiB.
// Planted   GN_PLANT_BACKWARD_SYNC (race between the sums of items and their fold), GN_PLANT_BACKWARD_END (dx of one
//           element too many).
#include "segment_standardize_backward.cuh"

#define PIECE (32 * TILE)
#define PACKS 2  // packs of one thread of backward_apply
#define WIDEST 256

namespace {

__device__ __forceinline__ View<const IN> values_of(const Call& c, const IN* values, long long b) {
    return {values + b * c.values_batch, c.values_item, c.values_place};
}

__device__ __forceinline__ View<const IN> grad_of(const Call& c, const IN* grad, long long b) {
    return {grad + b * c.second_batch, c.second_item, c.second_place};
}

__device__ __forceinline__ Parts parts_of(const Call& c, const REAL* gain, const REAL* offset, const REAL* weights, IN* dx, long long b) {
    return {affine(c, gain, offset, b),
            {weights ? weights + b * c.weights_batch : nullptr, c.weights_item, c.weights_place},
            {dx + b * c.out_batch, c.out_item, c.out_place},
            how(c)};
}

}  // namespace

// One block a (batch entry, segment named by `which`) of at most `most` elements.
extern "C" __global__ void __launch_bounds__(WIDEST, 2)
segment_backward_block(const IN* values, const IN* grad, const REAL* weights, const REAL* gain, const REAL* offset, const int* order,
               const long long* offsets, const double* mean, const REAL* rstd, const double* add_mean, const double* add_rstd,
               const double* weight, const int* which, long long listed, int most, int pieces, int lanes, const Call c,
               IN* dx, REAL* dgain, REAL* doffset) {
    GN_DYNAMIC_SHARED(unsigned char, shared);
    __shared__ Pair totals[THREADS / 32];
    __shared__ Coefficients found;
    IN* x = reinterpret_cast<IN*>(shared);
    IN* gradients = x + most;
    Pair* sums = reinterpret_cast<Pair*>(gradients + most);
    long long b, l;
    gn::divide(blockIdx.x, listed, b, l);
    const long long g = which[l], at = b * c.segments + g;
    const Elements s = elements(order, offsets, g, c.width, c.items_inside != 0);
    const int threads = blockDim.x, thread = threadIdx.x, items = (int)(offsets[g + 1] - offsets[g]);
    const int span = threads * TILE;
    const Stat stat = ::stat(mean[at], rstd[at]);
    const Parts parts = parts_of(c, gain, offset, weights, dx, b);
#pragma unroll 1
    for (int from = 0; from < s.count; from += span) {
        const long long until = from + span < s.count ? from + span : s.count;
        bring_both<TILE>(s, values_of(c, values, b), grad_of(c, grad, b), walk(s, from, until, thread, threads), x + from, gradients + from);
    }
    __syncthreads();

    const int lane = thread & (lanes - 1), teams = threads / lanes, units = items * pieces;
#pragma unroll 1
    for (int first = 0; first < units; first += teams) {  // all threads of a warp take part in its shuffles
        const int unit = first + thread / lanes, j = unit / pieces, piece = unit % pieces;
        REAL a = 0, d = 0;
        if (unit < units) {
            const int begin = piece * PIECE, width = (int)c.width, count = begin + PIECE < width ? PIECE : width - begin;
            const long long item = s.item((long long)j);
            const int base = s.items_inside ? begin * items + j : j * width + begin;
            piece_sums(x, gradients, base, s.items_inside ? items : 1, count, lane, lanes, stat, parts.map.gain_of(item),
                       parts.map.offset_of(item), parts.how, a, d);
        }
        const Pair sum = {gn::team_sum((double)a, lanes), gn::team_sum((double)d, lanes)};
        if (unit < units && lane == 0) sums[unit] = sum;
    }
#ifndef GN_PLANT_BACKWARD_SYNC  // tsan: test_standardize_backward.py -k planted
    __syncthreads();
#endif
    if (pieces > 1) {
        for (int j = thread >> 5; j < items; j += threads / 32) {
            const Pair sum = join_pieces(sums + j * pieces, pieces);
            if ((thread & 31) == 0) sums[units + j] = sum;
        }
        sums += units;
        __syncthreads();
    }
    const int folding = items <= 128 ? 8 : items <= 512 ? 32 : 128;
    Pair own = {0, 0};
    if (thread < folding) {
        const auto of = [&](int j) {
            const long long item = s.item((long long)j);
            dgain[b * c.items + item] = (REAL)sums[j].a;
            doffset[b * c.items + item] = (REAL)sums[j].b;
            return sums[j];
        };
        own = fold(items, thread, folding, of, [&](int j) { return parts.map.gain_of(s.item((long long)j)); });
    }
    own = team_total(own, folding, totals);
    if (thread == 0) found = coefficients(own, {add_mean, add_rstd, weight}, at, s.count, (double)rstd[at], c.center != 0);
    __syncthreads();
    const Coefficients both = found;
#pragma unroll 1
    for (int from = 0; from < s.count; from += span) {
        const long long until = from + span < s.count ? from + span : s.count;
        put_dx(s, parts, from, until, thread, threads, x + from, gradients + from, [&](long long) { return stat; }, [&](long long) { return both; });
    }
}

// Width 1. A team of `threads` (8, 32 or THREADS) threads a (slice of `each` batch entries, segment named by `which`).
extern "C" __global__ void __launch_bounds__(THREADS, 3)
segment_backward_tokens(const IN* values, const IN* grad, const REAL* weights, const REAL* gain, const REAL* offset, const int* order,
                const long long* offsets, const double* mean, const REAL* rstd, const double* add_mean, const double* add_rstd,
                const double* weight, const int* which, long long listed, int most, int each, int threads, const Call c,
                IN* dx, REAL* dgain, REAL* doffset) {
    GN_DYNAMIC_SHARED(unsigned char, shared);
    __shared__ Pair totals[THREADS / 32];
    const int team = threadIdx.x / threads, teams = THREADS / threads, thread = threadIdx.x & (threads - 1);
    // Of each team: sums of dgain and of doffset, values, gradients.
    REAL* sum_a = reinterpret_cast<REAL*>(shared) + team * most;
    REAL* sum_b = sum_a + teams * most;
    IN* x = reinterpret_cast<IN*>(reinterpret_cast<REAL*>(shared) + 2 * teams * most) + team * most;
    IN* gradients = x + teams * most;
    const long long slices = (c.batch + each - 1) / each, unit = (long long)blockIdx.x * teams + team;
    const bool inside = unit < slices * listed;  // all threads of a warp take part in its shuffles
    long long slice, l;
    gn::divide(inside ? unit : 0, listed, slice, l);
    const long long g = which[l];
    Elements s = elements(order, offsets, g, 1, true);
    if (!inside) s.count = 0;
    const int items = (int)s.count, span = threads * TILE;
    for (int at = thread * V; at < items; at += threads * V)
#pragma unroll
        for (int v = 0; v < V; ++v) sum_a[at + v] = sum_b[at + v] = 0;
#pragma unroll 1
    for (int turn = 0; turn < each; ++turn) {
        const long long b = slice * each + turn, at = b * c.segments + g;
        const bool is = inside && b < c.batch;
        const long long row = is ? b : 0, count = is ? s.count : 0;
        const Stat stat = is ? ::stat(mean[at], rstd[at]) : Stat{0, 0, 0};
        const Parts parts = parts_of(c, gain, offset, weights, dx, row);
#pragma unroll 1
        for (int from = 0; from < count; from += span) {
            const long long until = from + span < count ? from + span : count;
            bring_both<TILE>(s, values_of(c, values, row), grad_of(c, grad, row), walk(s, from, until, thread, threads), x + from, gradients + from);
        }
        const auto of = [&](int j) {
            const long long item = s.item((long long)j);
            const Gradient e = gradient(x[j], gradients[j], stat, parts.map.gain_of(item), parts.map.offset_of(item), parts.how);
            const REAL a = e.g * e.xh;
            sum_a[j] += a;
            sum_b[j] += e.g;
            return Pair{(double)a, (double)e.g};
        };
        Pair own = fold((int)count, thread, threads, of, [&](int j) { return parts.map.gain_of(s.item((long long)j)); });
        own = team_total(own, threads, totals);
        if (!is) continue;
        const Coefficients both = coefficients(own, {add_mean, add_rstd, weight}, at, s.count, (double)rstd[at], c.center != 0);
#pragma unroll 1
        for (int from = 0; from < count; from += span) {
            const long long until = from + span < count ? from + span : count;
            put_dx(s, parts, from, until, thread, threads, x + from, gradients + from, [&](long long) { return stat; }, [&](long long) { return both; });
        }
    }
    for (int at = thread * V; at < items; at += threads * V)
#pragma unroll 1
        for (int j = at; j < at + V && j < items; ++j) {
            const long long item = s.item((long long)j);
            dgain[slice * c.items + item] = sum_a[j];
            doffset[slice * c.items + item] = sum_b[j];
        }
}

// `lanes` threads a (batch entry, item, piece).
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_backward_rows(const IN* values, const IN* grad, const REAL* gain, const REAL* offset, const int* codes, const double* mean,
              const REAL* rstd, int pieces, int lanes, const Call c, double* sums) {
    GN_DYNAMIC_SHARED(unsigned char, shared);
    const int lane = threadIdx.x & (lanes - 1), own = threadIdx.x / lanes * lanes * TILE;
    IN* x = reinterpret_cast<IN*>(shared) + own;
    IN* gradients = x + THREADS * TILE;
    const long long unit = (long long)blockIdx.x * (THREADS / lanes) + threadIdx.x / lanes;
    const bool inside = unit < c.batch * c.items * pieces;  // all threads of a warp take part in its shuffles
    long long row, piece, b, item;
    gn::divide(inside ? unit : 0, pieces, row, piece);
    gn::divide(row, c.items, b, item);
    const long long from = piece * PIECE, until = !inside ? from : from + PIECE < c.width ? from + PIECE : c.width;
    const Elements s = {nullptr, item, c.width, c.width, false};
    bring_both<TILE>(s, values_of(c, values, b), grad_of(c, grad, b), walk(s, from, until, lane, lanes), x, gradients);
    const long long at = b * c.segments + codes[item];
    const Affine map = affine(c, gain, offset, b);
    REAL a, d;
    piece_sums(x, gradients, 0, 1, (int)(until - from), lane, lanes, stat(mean[at], rstd[at]), map.gain_of(item), map.offset_of(item),
               how(c), a, d);
    const Pair sum = {gn::team_sum((double)a, lanes), gn::team_sum((double)d, lanes)};
    if (inside && lane == 0) sums[2 * unit] = sum.a, sums[2 * unit + 1] = sum.b;
}

// One block a (batch entry, piece, 32 items side by side): a thread does what a lane of backward_rows does, for its item.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_backward_columns(const IN* values, const IN* grad, const REAL* gain, const REAL* offset, const int* codes, const double* mean,
                 const REAL* rstd, int pieces, int lanes, long long tiles, const Call c, double* sums) {
    __shared__ REAL kept_a[32][33], kept_b[32][33];  // lane, item
    long long row, tile, b, piece;
    gn::divide(blockIdx.x, tiles, row, tile);
    gn::divide(row, pieces, b, piece);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    const long long item = tile * 32 + lane, from = piece * PIECE, until = from + PIECE < c.width ? from + PIECE : c.width;
    const bool inside = item < c.items;
    const long long at = b * c.segments + (inside ? codes[item] : 0);
    const Affine map = affine(c, gain, offset, b);
    const Stat stat = ::stat(mean[at], rstd[at]);
    const REAL own_gain = inside ? map.gain_of(item) : REAL(0), own_offset = inside ? map.offset_of(item) : REAL(0);
    const IN* x = values + b * c.values_batch + item * c.values_item;
    const IN* gradients = grad + b * c.second_batch + item * c.second_item;
    for (int l = warp; l < 32; l += THREADS / 32) {
        REAL a = 0, d = 0;
        for (long long place = from + (long long)l * V; inside && l < lanes && place < until; place += (long long)lanes * V) {
            IN px[V], pg[V];
#pragma unroll
            for (int v = 0; v < V; ++v)
                if (place + v < until) px[v] = x[(place + v) * c.values_place], pg[v] = gradients[(place + v) * c.second_place];
#pragma unroll
            for (int v = 0; v < V; ++v)
                if (place + v < until) {
                    const Gradient e = gradient(px[v], pg[v], stat, own_gain, own_offset, how(c));
                    a += e.g * e.xh;
                    d += e.g;
                }
        }
        kept_a[l][lane] = a;
        kept_b[l][lane] = d;
    }
    __syncthreads();
    for (int j = warp; j < 32; j += THREADS / 32) {
        const Pair sum = {gn::team_sum((double)kept_a[lane][j], 32), gn::team_sum((double)kept_b[lane][j], 32)};
        const long long unit = (b * c.items + tile * 32 + j) * pieces + piece;
        if (lane == 0 && tile * 32 + j < c.items) sums[2 * unit] = sum.a, sums[2 * unit + 1] = sum.b;
    }
}

// One warp a row of `pieces` pairs.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_backward_items(const double* sums, int pieces, long long rows, double* joined) {
    const long long row = (long long)blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5);
    if (row >= rows) return;  // whole warps
    const Pair sum = join_pieces(reinterpret_cast<const Pair*>(sums) + row * pieces, pieces);
    if ((threadIdx.x & 31) == 0) joined[2 * row] = sum.a, joined[2 * row + 1] = sum.b;
}

// A team of `threads` (8, 32 or THREADS) threads a (batch entry, segment named by `which`).
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_backward_fold(const double* sums, const REAL* gain, const int* order, const long long* offsets, const REAL* rstd, const double* add_mean,
              const double* add_rstd, const double* weight, const int* which, long long listed, int threads, const Call c,
              REAL* table, REAL* dgain, REAL* doffset) {
    __shared__ Pair totals[THREADS / 32];
    const long long pair = (long long)blockIdx.x * (THREADS / threads) + threadIdx.x / threads;
    const bool inside = pair < c.batch * listed;  // all threads of a warp take part in its shuffles
    long long b, l;
    gn::divide(inside ? pair : 0, listed, b, l);
    const long long g = which[l], at = b * c.segments + g;
    const Elements s = elements(order, offsets, g, 1, true);
    const int items = inside ? (int)s.count : 0, thread = threadIdx.x & (threads - 1);
    const Affine map = affine(c, gain, nullptr, b);
    const auto of = [&](int j) {
        const long long row = b * c.items + s.item((long long)j);
        dgain[row] = (REAL)sums[2 * row];
        doffset[row] = (REAL)sums[2 * row + 1];
        return Pair{sums[2 * row], sums[2 * row + 1]};
    };
    Pair own = fold(items, thread, threads, of, [&](int j) { return map.gain_of(s.item((long long)j)); });
    own = team_total(own, threads, totals);
    if (!inside || thread != 0) return;
    const Coefficients both = coefficients(own, {add_mean, add_rstd, weight}, at, s.count * c.width, (double)rstd[at], c.center != 0);
    table[2 * at] = both.c1, table[2 * at + 1] = both.c2;
}

// Blocks of THREADS, PACKS packs a thread, `tiles` blocks a batch entry; the last first, which the cache may still hold.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
segment_backward_apply(const IN* values, const IN* grad, const REAL* weights, const REAL* gain, const REAL* offset, const int* codes,
               const double* mean, const REAL* rstd, const REAL* table, long long tiles, const Call c, IN* dx) {
    __shared__ gn::Pack<IN, V> shared[2][PACKS * THREADS];
    IN *x = shared[0][0].at, *gradients = shared[1][0].at;
    long long b, tile;
    gn::divide((long long)gridDim.x - 1 - blockIdx.x, tiles, b, tile);
    const bool items_inside = c.items_inside != 0;
    const Elements s = {nullptr, 0, items_inside ? c.items : c.width, c.items * c.width, items_inside};
    const long long from = tile * (PACKS * V * THREADS), end = from + PACKS * V * THREADS, until = end < s.count ? end : s.count;
    bring_both<PACKS * V>(s, values_of(c, values, b), grad_of(c, grad, b), walk(s, from, until, threadIdx.x, THREADS), x, gradients);
    const long long row = b * c.segments;
    put_dx(s, parts_of(c, gain, offset, weights, dx, b), from, until, threadIdx.x, THREADS, x, gradients,
           [&](long long item) { return stat(mean[row + codes[item]], rstd[row + codes[item]]); },
           [&](long long item) {
               const REAL* both = table + 2 * (row + codes[item]);
               return Coefficients{both[0], both[1]};
           });
}

// A thread an item: rows [each * n, each * (n + 1)) of two arrays (row, item) into row n, in order. The first time in
// REAL, as backward_tokens does; later, of sums, in float64.
extern "C" __global__ void __launch_bounds__(THREADS)
segment_backward_reduce(const REAL* dgain, const REAL* doffset, long long rows, long long items, int each, int wide, long long tiles,
                REAL* dgain_sum, REAL* doffset_sum) {
    long long slice, tile;
    gn::divide(blockIdx.x, tiles, slice, tile);
    const long long item = tile * THREADS + threadIdx.x, first = slice * each, last = first + each < rows ? first + each : rows;
    if (item >= items) return;
    REAL a = 0, b = 0;
    double wide_a = 0, wide_b = 0;
#pragma unroll 4
    for (long long row = first; row < last; ++row) {
        const REAL x = dgain[row * items + item], y = doffset[row * items + item];
        if (wide) wide_a += (double)x, wide_b += (double)y;
        else a += x, b += y;
    }
    dgain_sum[slice * items + item] = wide ? (REAL)wide_a : a;
    doffset_sum[slice * items + item] = wide ? (REAL)wide_b : b;
}
