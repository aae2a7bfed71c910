// How the threads of a team walk over the elements of a segment, and move them between memory and shared memory.
//
// A thread owns every `threads`-th pack of PACK elements and touches no other, so it needs no barrier to meet its own
// again. Which elements those are does not depend on where they lie; they move 16 bytes at a time where they can.
#pragma once
#include "real.cuh"

namespace {

constexpr int V = gn::PACK;

// A tensor (item, place) of one batch entry; strides in elements.
template <class T>
struct View {
    T* at;
    long long item, place;
};

// The elements of one segment of one batch entry. Counted along the places of an item, then along the items; with
// items_inside the other way round. `inner` is how many there are of what is counted first.
struct Elements {
    const int* order;
    long long first, inner, count;
    bool items_inside;

    __device__ long long item(long long j) const { return order ? (long long)order[first + j] : first + j; }

    // The item of element i of row o, and where the element lies.
    __device__ long long item(long long o, long long i) const { return item(items_inside ? i : o); }
    template <class T>
    __device__ long long position(const View<T>& view, long long o, long long i) const {
        return item(o, i) * view.item + (items_inside ? o : i) * view.place;
    }
};

__device__ __forceinline__ Elements elements(const int* order, const long long* offsets, long long g, long long width, bool items_inside) {
    const long long items = offsets[g + 1] - offsets[g];
    return {order, offsets[g], items_inside ? (items > 0 ? items : 1) : width, items * width, items_inside};
}

// Where packs begin at multiples of 16 bytes: all elements lie one behind another from `start` on (`row` is 0), or those
// of a row do, at start + o * row (items are listed: at start + item * row). Else `start` is null.
template <class T>
struct Packs {
    T* start;
    long long row;
    bool listed;

    __device__ T* at(const Elements& s, long long e, long long o, long long i) const {
        return row ? start + (listed ? s.item(o) : o) * row + i : start + e;
    }
};

template <class T>
__device__ __forceinline__ Packs<T> packs(const Elements& s, const View<T>& view) {
    const long long along = s.items_inside ? view.item : view.place, across = s.items_inside ? view.place : view.item;
    if (along != 1 || (s.items_inside && s.order)) return {nullptr, 0, false};
    T* start = view.at + (s.order ? 0 : s.first * view.item);
    if (!gn::aligned16(start)) return {nullptr, 0, false};
    if (!s.order && (across == s.inner || s.inner == s.count)) return {start, 0, false};
    if (s.inner % V || across % V || across == 0) return {nullptr, 0, false};
    return {start, across, s.order != nullptr};
}

// The packs of one of `threads` threads in [from, until): the first one is element i of row o; and what to add for the next.
struct Walk {
    long long from, until, o, i, outer_step, inner_step;
    int thread, threads;

    __device__ void next(long long inner) {
        o += outer_step;
        i += inner_step;
        if (i >= inner) i -= inner, ++o;
    }
};

__device__ __forceinline__ Walk walk(const Elements& s, long long from, long long until, int thread, int threads) {
    Walk w = {from, until, 0, 0, 0, 0, thread, threads};
    gn::divide(from + (long long)thread * V, s.inner, w.o, w.i);
    gn::divide((long long)threads * V, s.inner, w.outer_step, w.inner_step);
    return w;
}

// f(at, e, o, i): a pack begins with element e = from + at, element i of row o.
template <int TOGETHER = 1, class F>
__device__ __forceinline__ void each_pack(const Elements& s, Walk w, F f) {
    const int count = (int)(w.until - w.from);
#pragma unroll TOGETHER
    for (int at = w.thread * V; at < count; at += w.threads * V) {
        f(at, w.from + at, w.o, w.i);
        w.next(s.inner);
    }
}

// f(v, o, i) for the elements of one pack that lie before `until`.
template <class F>
__device__ __forceinline__ void each_element(const Elements& s, long long e, long long until, long long o, long long i, F f) {
#pragma unroll 1
    for (int v = 0; v < V && e + v < until; ++v) {
        f(v, o, i);
        if (++i == s.inner) i = 0, ++o;
    }
}

// The thread's elements, at most N of them, to kept[0 …]; with ADD to what is there already, rounded to IN.
template <int N, bool ADD = false>
__device__ __forceinline__ void bring(const Elements& s, const View<const IN>& view, const Walk& w, IN* kept) {
    typedef gn::Pack<IN, V> P;
    const auto sum = [](IN a, IN b) { return gn::as<IN>(gn::as<REAL>(a) + gn::as<REAL>(b)); };
    const Packs<const IN> whole = packs(s, view);
    const int count = (int)(w.until - w.from), step = w.threads * V;
    int done = 0;
    if (whole.start) {
        Walk at = w;
        constexpr int MOST = ADD ? 2 : 4, TOGETHER = N / V < MOST ? N / V : MOST;  // a sum takes registers
#pragma unroll 1
        for (int first = w.thread * V; first + V <= count; first += TOGETHER * step) {
            P raw[TOGETHER];
#pragma unroll
            for (int k = 0; k < TOGETHER; ++k) {  // these loads are under way at once
                if (first + k * step + V <= count) raw[k] = *reinterpret_cast<const P*>(whole.at(s, w.from + first + k * step, at.o, at.i));
                at.next(s.inner);
            }
#pragma unroll
            for (int k = 0; k < TOGETHER; ++k) {
                const int to = first + k * step;
                if (to + V > count) continue;
                if (ADD) {
                    const P old = *reinterpret_cast<const P*>(kept + to);
#pragma unroll
                    for (int v = 0; v < V; ++v) raw[k].at[v] = sum(old.at[v], raw[k].at[v]);
                }
                *reinterpret_cast<P*>(kept + to) = raw[k];
            }
        }
        done = count / V * V;
    }
    if (done == count) return;
    each_pack(s, w, [&](int at, long long e, long long o, long long i) {
        if (at < done) return;
        constexpr int TOGETHER = V < 4 ? V : 4;
#pragma unroll 1
        for (int to = at; to < at + V; to += TOGETHER, e += TOGETHER) {
            IN raw[TOGETHER];
#pragma unroll
            for (int v = 0; v < TOGETHER; ++v) {
                if (e + v < w.until) raw[v] = view.at[s.position(view, o, i)];
                if (++i == s.inner) i = 0, ++o;
            }
#pragma unroll
            for (int v = 0; v < TOGETHER; ++v)
                if (e + v < w.until) kept[to + v] = ADD ? sum(kept[to + v], raw[v]) : raw[v];
        }
    });
}

// The same of two tensors, one after the other: half the code, and other warps fill the wait.
template <int N>
__device__ __forceinline__ void bring_both(const Elements& s, const View<const IN>& a, const View<const IN>& b, const Walk& w, IN* kept_a, IN* kept_b) {
    View<const IN> view = a;
    IN* kept = kept_a;
#pragma unroll 1
    for (int turn = 0; turn < 2; ++turn) {
        bring<N>(s, view, w, kept);
        view.at = b.at, view.item = b.item, view.place = b.place;
        kept = kept_b;
    }
}

// One pack of results from shared memory to where it belongs.
__device__ __forceinline__ void store(const Elements& s, const View<IN>& view, const Packs<IN>& whole, long long e, long long until, long long o, long long i, const IN* kept) {
    typedef gn::Pack<IN, V> P;
    if (whole.start && e + V <= until) {
        *reinterpret_cast<P*>(whole.at(s, e, o, i)) = *reinterpret_cast<const P*>(kept);
        return;
    }
    each_element(s, e, until, o, i, [&](int v, long long o, long long i) { view.at[s.position(view, o, i)] = kept[v]; });
}

}  // namespace
