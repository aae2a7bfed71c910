// Remove a location and divide by a scale, each per segment of an item: ((x - K) - d) / scale.
//
// Shapes    values (batch, item, width) with three strides, result the same with its own three (it may be `values`);
//           codes int32 (item,): segment of every item; location and scale float64 (batch, segment), either may be null;
//           table REAL (batch, segment, 3): K, d and the factor, as the first kernel leaves them for the second.
// Kernels   segment_apply_table   one thread a (batch, segment), blocks of 128
//           segment_apply         blocks of 128 threads, TILE packs of 16 bytes a thread, along the closer of item and place
// Accuracy  For float, location = K + d (the rounded float64 and what rounding left), so that x - K is exact where x is
//           near the location; the factor is 1/scale. For double the quotient is the NumPy twin's, bit for bit.
//           A scale of 0 or NaN divides by one; a location of NaN gives NaN.
// Shared    none.
// Order     Element by element: no result depends on any other.
// Planted   GN_PLANT_APPLY_END (writes one element too many).
#include "real.cuh"

#define THREADS 128
#define TILE 2

namespace {

// One value of the result.
__device__ __forceinline__ REAL removed(REAL x, const REAL* row) {
    const REAL left = (x - row[0]) - row[1];
    return sizeof(REAL) == 8 ? left / row[2] : left * row[2];
}

// Elements of one batch entry: `inner` of them side by side (steps of inner_in and inner_out), then the next row.
struct Rows {
    long long inner, outer_in, inner_in, outer_out, inner_out;
};

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
segment_apply_table(const double* location, const double* scale, long long count, REAL* table) {
    const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (i >= count) return;
    const double mean = location ? location[i] : 0.0, divisor = scale && scale[i] > 0 ? scale[i] : 1.0;
    const REAL k = (REAL)mean;
    // The factor of a tiny scale must stay finite, or 0 would become NaN.
    const double factor = sizeof(REAL) == 8 ? divisor : 1.0 / divisor < 3.4028234663852886e38 ? 1.0 / divisor : 3.4028234663852886e38;
    table[3 * i] = k;
    table[3 * i + 1] = isfinite(mean - (double)k) ? (REAL)(mean - (double)k) : REAL(0);
    table[3 * i + 2] = (REAL)factor;
}

extern "C" __global__ void __launch_bounds__(THREADS)
segment_apply(const IN* values, long long batch_in, long long item_in, long long place_in,
              OUT* result, long long batch_out, long long item_out, long long place_out,
              const int* codes, const REAL* table, long long segments, long long items, long long width, int items_inside,
              long long tiles) {
    constexpr int V = gn::PACK;
    long long b, tile;
    gn::divide(blockIdx.x, tiles, b, tile);
    const IN* in = values + b * batch_in;
    OUT* out = result + b * batch_out;
    const REAL* rows = table + b * segments * 3;
    const Rows r = items_inside ? Rows{items, place_in, item_in, place_out, item_out}
                                : Rows{width, item_in, place_in, item_out, place_out};
    long long total = items * width;
#ifdef GN_PLANT_APPLY_END  // asan: test_apply.py -k planted
    total += 1;
#endif
    IN x[TILE][V];
    long long outer[TILE], inner[TILE];
    bool whole[TILE];
#pragma unroll
    for (int k = 0; k < TILE; ++k) {
        const long long e = ((tile * TILE + k) * THREADS + threadIdx.x) * V;
        gn::divide(e, r.inner, outer[k], inner[k]);
        const IN* from = in + outer[k] * r.outer_in + inner[k] * r.inner_in;
        whole[k] = inner[k] + V <= r.inner && e + V <= total;
        if (whole[k] && r.inner_in == 1 && gn::aligned16(from)) {
            const gn::Pack<IN, V> pack = *reinterpret_cast<const gn::Pack<IN, V>*>(from);
#pragma unroll
            for (int v = 0; v < V; ++v) x[k][v] = pack.at[v];
        } else {
            long long o = outer[k], i = inner[k];
#pragma unroll
            for (int v = 0; v < V; ++v) {
                if (e + v < total) x[k][v] = in[o * r.outer_in + i * r.inner_in];
                if (++i == r.inner) i = 0, ++o;
            }
        }
    }
#pragma unroll
    for (int k = 0; k < TILE; ++k) {
        const long long e = ((tile * TILE + k) * THREADS + threadIdx.x) * V;
        OUT* to = out + outer[k] * r.outer_out + inner[k] * r.inner_out;
        if (whole[k] && r.inner_out == 1 && gn::aligned16(to)) {
            gn::Pack<OUT, V> pack;
            const REAL* row = rows + 3 * (long long)codes[items_inside ? inner[k] : outer[k]];
#pragma unroll
            for (int v = 0; v < V; ++v) {
                if (items_inside) row = rows + 3 * (long long)codes[inner[k] + v];
                pack.at[v] = gn::as<OUT>(removed(gn::as<REAL>(x[k][v]), row));
            }
            *reinterpret_cast<gn::Pack<OUT, V>*>(to) = pack;
        } else {
            long long o = outer[k], i = inner[k];
#pragma unroll
            for (int v = 0; v < V; ++v) {
                if (e + v < total) {
                    const REAL* row = rows + 3 * (long long)codes[items_inside ? i : o];
                    out[o * r.outer_out + i * r.inner_out] = gn::as<OUT>(removed(gn::as<REAL>(x[k][v]), row));
                }
                if (++i == r.inner) i = 0, ++o;
            }
        }
    }
}
