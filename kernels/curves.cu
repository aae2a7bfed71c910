// Curves given by knots: copied together, and evaluated at items.
//
// curves_copy         knots from[c] ... from[c] + count[c] - 1 of one set to to[c] on of another, c = 0 ... curves - 1.
//                     Launch: grid (curves), block any.
// curves_interpolate  value of each item's curve at x, (batch, item): linear between knots, ends held; NaN where x is
//                     NaN, where the segment has no curve, and beside a NaN knot (not at a finite one). As numpy.interp
//                     rounds it, so without contraction (NVRTC --fmad=false). x with two strides in elements
//                     (0 for rows that are all the same); codes (item,): segment of each item; offsets
//                     (batch × segment + 1,).
//                     Launch: grid (rows × blocks), blocks × blockDim.x >= items.
// Shared memory: none. Each value by one thread, so the bits are the same however it is launched.
// Planted mistake for the checkers: GN_PLANT_CURVES_BOUNDS (reads one knot too far).

extern "C" __global__ void curves_copy(
    const double* x, const double* y, const long long* from, const long long* to, const long long* count, double* out_x,
    double* out_y) {
    const long long source = from[blockIdx.x], target = to[blockIdx.x], knots = count[blockIdx.x];
    for (long long k = threadIdx.x; k < knots; k += blockDim.x) {
        out_x[target + k] = x[source + k];
        out_y[target + k] = y[source + k];
    }
}

extern "C" __global__ void curves_interpolate(
    const double* knot_x, const double* knot_y, const long long* offsets, const double* x, long long x_row,
    long long x_step, const int* codes, long long n_items, long long n_segments, int blocks, double* out) {
    const long long b = blockIdx.x / blocks;
    const long long i = static_cast<long long>(blockIdx.x % blocks) * blockDim.x + threadIdx.x;
    if (i >= n_items) return;
    const double at = x[b * x_row + i * x_step];
    const long long curve = b * n_segments + codes[i];
    const long long first = offsets[curve], end = offsets[curve + 1];
    double value = at - at;  // NaN for NaN
    if (first == end) {
        value = nan("");
    } else if (at == at) {
        long long low = first, high = end;  // the last knot at or before x, or the first
        while (high - low > 1) {
            const long long middle = low + (high - low) / 2;
            if (knot_x[middle] <= at) low = middle;
            else high = middle;
        }
        value = knot_y[low];
        bool between = knot_x[low] < at && low + 1 < end;
#ifdef GN_PLANT_CURVES_BOUNDS
        between = knot_x[low] < at;
#endif
        if (between) {
            const double next = knot_y[low + 1];
            const double slope = (next - value) / (knot_x[low + 1] - knot_x[low]);
            value = slope * (at - knot_x[low]) + value;
        }
    }
    out[b * n_items + i] = value;
}
