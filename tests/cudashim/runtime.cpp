// cudashim runtime: block scheduler, barriers, warp collectives.  Compiled WITHOUT sanitizers into its
// own shared object; kernels are compiled with them.  One fiber per CUDA thread.
//   fast : blocks spread over OpenMP workers
//   asan : one worker, fiber switches announced to AddressSanitizer
//   tsan : every CUDA thread is a TSan fiber, every block a fresh OS thread; happens-before edges are made
//          ONLY by __syncthreads, __syncwarp, fences and the launch itself, so a race report does not
//          depend on the schedule.  Shuffles and votes make none (CUDA gives them no memory ordering).
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif

struct uint3 { unsigned x, y, z; };
struct CudashimThread { uint3 threadIdx, blockIdx, blockDim, gridDim; int lane, warp; };
extern "C" { __thread CudashimThread* cudashim_tc __attribute__((tls_model("initial-exec"))) = nullptr; }

// ---- sanitizer hooks, resolved only when the process has them
extern "C" {
__attribute__((weak)) void __sanitizer_start_switch_fiber(void**, const void*, size_t);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
__attribute__((weak)) void __asan_poison_memory_region(const volatile void*, size_t);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void*, size_t);
__attribute__((weak)) void* __tsan_get_current_fiber(void);
__attribute__((weak)) void* __tsan_create_fiber(unsigned);
__attribute__((weak)) void __tsan_destroy_fiber(void*);
__attribute__((weak)) void __tsan_switch_to_fiber(void*, unsigned);
__attribute__((weak)) void __tsan_set_fiber_name(void*, const char*);
__attribute__((weak)) void __tsan_acquire(void*);
__attribute__((weak)) void __tsan_release(void*);
}
static inline bool have_tsan() { return __tsan_create_fiber != nullptr; }
static inline bool have_asan() { return !have_tsan() && __sanitizer_start_switch_fiber != nullptr; }

// ---- context switch
#if defined(__x86_64__) && !defined(CUDASHIM_UCONTEXT)
extern "C" void cudashim_swap(void** save, void* load);
asm(R"(
.text
.globl cudashim_swap
.hidden cudashim_swap
.type cudashim_swap,@function
cudashim_swap:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cudashim_swap,.-cudashim_swap
)");
struct Ctx { void* sp = nullptr; };
static void ctx_make(Ctx& c, char* stack, size_t size, void (*fn)()) {
    uintptr_t top = (reinterpret_cast<uintptr_t>(stack) + size) & ~uintptr_t(15);
    void** s = reinterpret_cast<void**>(top);
    *--s = nullptr;                         // keeps the ABI's 16-byte alignment at entry
    *--s = reinterpret_cast<void*>(fn);     // popped by ret
    for (int i = 0; i < 6; ++i) *--s = nullptr;
    c.sp = s;
}
static inline void ctx_swap(Ctx& from, Ctx& to) { cudashim_swap(&from.sp, to.sp); }
#else
struct Ctx { ucontext_t u; };
static void ctx_make(Ctx& c, char* stack, size_t size, void (*fn)()) {
    getcontext(&c.u);
    c.u.uc_stack.ss_sp = stack; c.u.uc_stack.ss_size = size; c.u.uc_link = nullptr;
    makecontext(&c.u, fn, 0);
}
static inline void ctx_swap(Ctx& from, Ctx& to) { swapcontext(&from.u, &to.u); }
#endif

struct Kernel { const char* name; const char* signature; void (*invoke)(void**); };
struct Opts { unsigned order, seed, poison, stack; void (*touch_tls)(void); };  // _Options in __init__.py

enum State : uint8_t { RUN, BLOCK_BAR, WARP_OP, DONE };
struct Fiber {
    Ctx ctx; CudashimThread t; State st; char* stack; void* tsan; void* fake;
    const char* file; int line;
    int bkind, bpred, bres;
    int wop, warg, wwidth, wsize; unsigned wmask; void* wval; unsigned wres;
};
struct Worker {
    Ctx main; std::vector<Fiber> f; int n = 0, alive = 0, at_bar = 0, cur = -1, bar_phase = 0;
    const Kernel* k = nullptr; void** args = nullptr; size_t stack_size = 0; char* stacks = nullptr; size_t nstacks = 0;
    void* dyn = nullptr; char err[1024]; bool failed = false;
    void *main_tsan = nullptr, *fake = nullptr; const void* main_bottom = nullptr; size_t main_size = 0;
    char sync_begin, sync_end, sync_bar[2], sync_warp[64][2]; int warp_phase[64];
    std::vector<int> order;
};
static const size_t kGuard = 4096;
static __thread Worker* W = nullptr;
static char g_fence, g_launch_end;
// TSan's fibers are dear (0.6 ms), so they are kept between launches, each with a stack of its own. Within a launch
// every CUDA thread has another one: a fiber shared by two blocks would order them and hide their races.
struct Kept { void* fiber; char* stack; };
static std::vector<Kept> g_kept;
static void drop(Kept& k, size_t stack_size) {
    if (k.fiber) __tsan_destroy_fiber(k.fiber);
    if (k.stack) munmap(k.stack, stack_size);
    k = Kept{nullptr, nullptr};
}
static const char* const OPN[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync", "__ballot_sync", "__any_sync", "__all_sync", "__syncwarp"};

static void to_main(bool dying) {
    Worker* w = W; Fiber& me = w->f[w->cur];
    if (have_asan()) __sanitizer_start_switch_fiber(dying ? nullptr : &me.fake, w->main_bottom, w->main_size);
    if (have_tsan()) __tsan_switch_to_fiber(w->main_tsan, 1 /* no_sync */);
    ctx_swap(me.ctx, w->main);
    if (have_asan()) __sanitizer_finish_switch_fiber(me.fake, nullptr, nullptr);
}
static void fiber_main() {
    Worker* w = W;
    if (have_asan()) __sanitizer_finish_switch_fiber(nullptr, &w->main_bottom, &w->main_size);
    Fiber& me = w->f[w->cur];
    if (have_tsan()) __tsan_acquire(&w->sync_begin);  // all that came before this launch
    w->k->invoke(w->args);
    me.st = DONE;
    if (have_tsan()) { __tsan_release(&w->sync_end); __tsan_release(&g_launch_end); }
    to_main(true);
    __builtin_unreachable();
}
static void fail(const char* fmt, ...) {
    if (W->failed) return;
    W->failed = true;
    va_list ap; va_start(ap, fmt); vsnprintf(W->err, sizeof W->err, fmt, ap); va_end(ap);
}
extern "C" void cudashim_trap(const char* what, const char* file, int line) {
    Fiber& me = W->f[W->cur];
    fail("%s at %s:%d, block (%u,%u,%u) thread (%u,%u,%u)", what, file, line, me.t.blockIdx.x, me.t.blockIdx.y, me.t.blockIdx.z,
         me.t.threadIdx.x, me.t.threadIdx.y, me.t.threadIdx.z);
    for (;;) to_main(true);
}
extern "C" void* cudashim_dynamic_shared(void) { return W->dyn; }
extern "C" void cudashim_fence(int) { if (have_tsan()) { __tsan_acquire(&g_fence); __tsan_release(&g_fence); } }

extern "C" int cudashim_block_barrier(int kind, int pred, const char* file, int line) {
    Worker* w = W; Fiber& me = w->f[w->cur];
    me.st = BLOCK_BAR; me.file = file; me.line = line; me.bkind = kind; me.bpred = pred;
    int ph = w->bar_phase;
    if (have_tsan()) __tsan_release(&w->sync_bar[ph]);
    ++w->at_bar;
    to_main(false);
    if (have_tsan()) __tsan_acquire(&w->sync_bar[ph]);
    return me.bres;
}
static void warp_wait(int op, unsigned mask, int arg, int width, void* val, int size, const char* file, int line) {
    Worker* w = W; Fiber& me = w->f[w->cur];
    if (!(mask >> me.t.lane & 1)) { fail("%s at %s:%d: lane %d is not in its own mask %08x", OPN[op], file, line, me.t.lane, mask); for (;;) to_main(true); }
    me.st = WARP_OP; me.wop = op; me.wmask = mask; me.warg = arg; me.wwidth = width; me.wval = val; me.wsize = size; me.file = file; me.line = line;
    to_main(false);
}
extern "C" void cudashim_shfl(int op, unsigned mask, int arg, int width, void* val, int size, const char* file, int line) {
    warp_wait(op, mask, arg, width, val, size, file, line);
}
extern "C" unsigned cudashim_vote(int op, unsigned mask, int pred, const char* file, int line) {
    warp_wait(4 + op, mask, pred, 32, nullptr, 0, file, line);
    return W->f[W->cur].wres;
}
extern "C" void cudashim_warp_barrier(unsigned mask, const char* file, int line) {
    Worker* w = W; int wp = w->f[w->cur].t.warp, ph = w->warp_phase[wp];
    if (have_tsan()) __tsan_release(&w->sync_warp[wp][ph]);
    warp_wait(7, mask, 0, 32, nullptr, 0, file, line);
    if (have_tsan()) __tsan_acquire(&w->sync_warp[wp][ph]);
}

// memcpy is intercepted by TSan, plain stores of this uninstrumented file are not
static inline void raw_copy(void* d, const void* s, int n) {
    if (n == 8) *(volatile uint64_t*)d = *(const volatile uint64_t*)s;
    else if (n == 4) *(volatile uint32_t*)d = *(const volatile uint32_t*)s;
    else *(volatile uint16_t*)d = *(const volatile uint16_t*)s;
}
// Completes the collective that fiber i waits in, if every live lane named in the mask has arrived.
static bool try_warp(Worker* w, int i) {
    Fiber& a = w->f[i];
    int base = a.t.warp * 32, lanes = w->n - base < 32 ? w->n - base : 32;
    unsigned part = 0;
    for (int l = 0; l < lanes; ++l) if (a.wmask >> l & 1) {
        Fiber& b = w->f[base + l];
        if (b.st == DONE) continue;
        if (b.st != WARP_OP) return false;
        if (b.wop != a.wop || b.wmask != a.wmask || b.file != a.file || b.line != a.line) {
            fail("lanes %d and %d of one mask wait in different collectives: %s(%08x) at %s:%d and %s(%08x) at %s:%d", a.t.lane, l,
                 OPN[a.wop], a.wmask, a.file, a.line, OPN[b.wop], b.wmask, b.file, b.line);
            return false;
        }
        part |= 1u << l;
    }
    uint64_t snap[32]; const uint64_t ones = ~0ull; unsigned ballot = 0;
    for (int l = 0; l < lanes; ++l) if (part >> l & 1) {
        Fiber& b = w->f[base + l];
        if (a.wop < 4) raw_copy(&snap[l], b.wval, b.wsize); else ballot |= (unsigned)(b.warg != 0) << l;
    }
    for (int l = 0; l < lanes; ++l) if (part >> l & 1) {
        Fiber& b = w->f[base + l];
        if (a.wop < 4) {
            int wd = b.wwidth, seg = l & ~(wd - 1), src = l;
            if (a.wop == 0) src = seg + (b.warg & (wd - 1));
            if (a.wop == 1) { src = l - b.warg; if (src < seg) src = l; }
            if (a.wop == 2) { src = l + b.warg; if (src >= seg + wd) src = l; }
            if (a.wop == 3) { src = l ^ b.warg; if (src >= seg + wd) src = l; }
            if (src >= 32 || !(part >> src & 1)) {
                if (src < lanes && (a.wmask >> src & 1) && w->f[base + src].st == DONE)
                    fail("%s at %s:%d: block %u lane %d reads lane %d, which has exited", OPN[a.wop], a.file, a.line, b.t.blockIdx.x, l, src);
                else
                    fail("%s at %s:%d: block %u lane %d reads lane %d, which does not take part (mask %08x, %d lanes)", OPN[a.wop], a.file, a.line, b.t.blockIdx.x, l, src, a.wmask, lanes);
                raw_copy(b.wval, &ones, b.wsize);
            } else raw_copy(b.wval, &snap[src], b.wsize);
        } else b.wres = a.wop == 4 ? ballot : a.wop == 5 ? ballot != 0 : ballot == part;
        b.st = RUN;
    }
    if (a.wop == 7) w->warp_phase[a.t.warp] ^= 1;
    return true;
}
static void finish_block_barrier(Worker* w) {
    Fiber* first = nullptr; int cnt = 0, tot = 0;
    for (auto& b : w->f) if (b.st == BLOCK_BAR) {
        if (!first) first = &b;
        else if (b.line != first->line || b.file != first->file)
            fail("divergent __syncthreads: block (%u,%u,%u) thread %u waits at %s:%d, thread %u at %s:%d", b.t.blockIdx.x, b.t.blockIdx.y, b.t.blockIdx.z,
                 first->t.threadIdx.x, first->file, first->line, b.t.threadIdx.x, b.file, b.line);
        cnt += b.bpred; ++tot;
    }
    for (auto& b : w->f) if (b.st == BLOCK_BAR) { b.bres = b.bkind == 1 ? cnt : b.bkind == 2 ? cnt == tot : cnt != 0; b.st = RUN; }
    w->at_bar = 0; w->bar_phase ^= 1;
}
static void run_block(Worker* w, uint3 bid, size_t first) {
    w->failed = false; w->err[0] = 0; w->alive = w->n; w->at_bar = 0;
    if (have_tsan()) w->main_tsan = __tsan_get_current_fiber();
    for (int i = 0; i < w->n; ++i) {
        Fiber& b = w->f[i];
        b.t.blockIdx = bid; b.st = RUN; b.fake = nullptr;
        if (have_tsan()) {
            Kept& k = g_kept[first + i];
            if (!k.fiber) {
                k.stack = (char*)mmap(nullptr, w->stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                k.fiber = __tsan_create_fiber(0);
            }
            b.tsan = k.fiber; b.stack = k.stack;
            char nm[64]; snprintf(nm, sizeof nm, "block (%u,%u,%u) thread (%u,%u,%u)", bid.x, bid.y, bid.z, b.t.threadIdx.x, b.t.threadIdx.y, b.t.threadIdx.z);
            __tsan_set_fiber_name(b.tsan, nm);
        } else b.stack = w->stacks + i * w->stack_size;
        ctx_make(b.ctx, b.stack, w->stack_size, fiber_main);
    }
    W = w;
    if (have_tsan()) __tsan_release(&w->sync_begin);
    while (w->alive && !w->failed) {
        bool progress = false;
        for (int o = 0; o < w->n && !w->failed; ++o) {
            int i = w->order[o];
            Fiber& b = w->f[i];
            if (b.st != RUN) continue;
            progress = true; w->cur = i; cudashim_tc = &b.t;
            if (have_asan()) __sanitizer_start_switch_fiber(&w->fake, b.stack, w->stack_size);
            if (have_tsan()) __tsan_switch_to_fiber(b.tsan, 1);
            ctx_swap(w->main, b.ctx);
            if (have_asan()) __sanitizer_finish_switch_fiber(w->fake, nullptr, nullptr);
            if (b.st == DONE) --w->alive;
        }
        if (w->failed) break;
        for (int i = 0; i < w->n && !w->failed; ++i) if (w->f[i].st == WARP_OP) progress |= try_warp(w, i);
        if (w->at_bar && w->at_bar == w->alive) { finish_block_barrier(w); progress = true; }
        if (!progress && !w->failed) {
            std::string d;
            int shown = 0;
            for (auto& b : w->f) if (b.st != DONE && shown++ < 4) {
                char t[256]; snprintf(t, sizeof t, "; thread %u waits in %s at %s:%d", b.t.threadIdx.x, b.st == BLOCK_BAR ? "__syncthreads" : OPN[b.wop], b.file, b.line);
                d += t;
            }
            fail("deadlock in block (%u,%u,%u): %d of %d threads wait at __syncthreads%s", bid.x, bid.y, bid.z, w->at_bar, w->alive, d.c_str());
        }
    }
    cudashim_tc = nullptr;
    if (have_tsan()) for (int i = 0; i < w->n; ++i) if (w->f[i].st != DONE) {   // abandoned after an error: let its owner see what it did
        __tsan_switch_to_fiber(w->f[i].tsan, 1);
        __tsan_release(&w->sync_end); __tsan_release(&g_launch_end);
        __tsan_switch_to_fiber(w->main_tsan, 1);
        drop(g_kept[first + i], w->stack_size);
    }
}

// ---- poisoning: the thread-local segment of a kernel's .so holds nothing but its __shared__ arrays
struct TlsFind { uintptr_t addr; void* data; size_t size; };
static int tls_cb(struct dl_phdr_info* i, size_t, void* p) {
    TlsFind* f = (TlsFind*)p; bool mine = false; size_t sz = 0;
    for (int k = 0; k < i->dlpi_phnum; ++k) {
        const auto& h = i->dlpi_phdr[k];
        if (h.p_type == PT_LOAD && f->addr - i->dlpi_addr - h.p_vaddr < h.p_memsz) mine = true;
        if (h.p_type == PT_TLS) sz = h.p_memsz;
    }
    if (mine && sz) { f->data = i->dlpi_tls_data; f->size = sz; return 1; }
    return 0;
}

static void setup(Worker* w, const Kernel* k, const unsigned* g, const unsigned* b, void** args, const Opts* o) {
    w->n = b[0] * b[1] * b[2]; w->k = k; w->args = args; w->stack_size = o->stack ? o->stack : 65536;
    w->f.resize(w->n); w->order.resize(w->n);
    memset(w->warp_phase, 0, sizeof w->warp_phase);
    for (int i = 0; i < w->n; ++i) {
        auto& t = w->f[i].t;
        t.threadIdx = {i % b[0], i / b[0] % b[1], i / (b[0] * b[1])};
        t.blockDim = {b[0], b[1], b[2]}; t.gridDim = {g[0], g[1], g[2]}; t.lane = i & 31; t.warp = i >> 5;
        w->order[i] = o->order == 1 ? w->n - 1 - i : i;
    }
    if (o->order == 2) { unsigned s = o->seed * 2654435761u + 1; for (int i = w->n - 1; i > 0; --i) { s = s * 1664525u + 1013904223u; std::swap(w->order[i], w->order[(s >> 8) % (i + 1)]); } }
    if (!have_tsan() && (w->nstacks < (size_t)w->n)) {
        if (w->stacks) munmap(w->stacks, w->nstacks * w->stack_size);
        w->stacks = (char*)mmap(nullptr, w->n * w->stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        w->nstacks = w->n;
    }
}
static void one_block(Worker* w, unsigned long long lin, const unsigned* g, size_t smem, const Opts* o) {
    if (o->poison) {
        o->touch_tls();      // makes the loader allocate this thread's copy
        TlsFind f{(uintptr_t)o->touch_tls, nullptr, 0};
        dl_iterate_phdr(tls_cb, &f);
        if (f.data) memset(f.data, 0xff, f.size);
    }
    // An overrun is reported and then happens: the bytes behind are poisoned but ours, not the allocator's.
    w->dyn = smem ? malloc(smem + kGuard) : nullptr;
    if (w->dyn) memset(w->dyn, 0xff, smem);
    if (w->dyn && have_asan()) __asan_poison_memory_region((char*)w->dyn + smem, kGuard);
    run_block(w, uint3{(unsigned)(lin % g[0]), (unsigned)(lin / g[0] % g[1]), (unsigned)(lin / ((unsigned long long)g[0] * g[1]))}, lin * w->n);
    if (have_tsan()) __tsan_acquire(&w->sync_end);
    if (w->dyn && have_asan()) __asan_unpoison_memory_region((char*)w->dyn + smem, kGuard);
    free(w->dyn);
}
struct Job { Worker* w; unsigned long long lin; const unsigned* g; size_t smem; const Opts* o; std::atomic<int> done; };
static void* block_thread(void* p) { Job* j = (Job*)p; one_block(j->w, j->lin, j->g, j->smem, j->o); j->done.store(1); return nullptr; }

static thread_local std::vector<Worker*> pool;   // keeps stacks between launches
extern "C" int cudashim_launch(const Kernel* k, const unsigned* g, const unsigned* b, size_t smem, void** args, const Opts* o, char* err, size_t errlen) {
    unsigned long long nb = (unsigned long long)g[0] * g[1] * g[2];
    int bad = 0; err[0] = 0;
    if (have_tsan()) {
        std::vector<pthread_t> th; std::vector<Job*> jobs;
        g_kept.resize(std::max<size_t>(g_kept.size(), nb * b[0] * b[1] * b[2]));  // here: it moves memory, which TSan sees
        for (unsigned long long i = 0; i < nb && !bad; ++i) {
            Worker* w = new Worker; setup(w, k, g, b, args, o);
            Job* j = new Job{w, i, g, smem, o, {0}}; pthread_t t;
            pthread_attr_t at; pthread_attr_init(&at); pthread_attr_setstacksize(&at, 1 << 20);
            if (pthread_create(&t, &at, block_thread, j)) { snprintf(err, errlen, "pthread_create failed"); return 2; }
            while (!j->done.load()) usleep(50);      // invisible to TSan: no edge between blocks
            th.push_back(t); jobs.push_back(j);
            if (w->failed) { bad = 1; snprintf(err, errlen, "%s", w->err); }
        }
        __tsan_acquire(&g_launch_end);
        for (auto t : th) pthread_join(t, nullptr);
        for (auto j : jobs) { delete j->w; delete j; }
        for (; g_kept.size() > 1024; g_kept.pop_back()) drop(g_kept.back(), o->stack);
        return bad;
    }
#ifdef _OPENMP
    int nw = have_asan() ? 1 : omp_get_max_threads();
#pragma omp parallel num_threads(nw)
#endif
    {
        if (pool.empty()) pool.push_back(new Worker);
        Worker* w = pool[0];
        setup(w, k, g, b, args, o);
#ifdef _OPENMP
#pragma omp for schedule(dynamic, 1)
#endif
        for (unsigned long long i = 0; i < nb; ++i) {
            int stop;
#pragma omp atomic read
            stop = bad;
            if (stop) continue;
            one_block(w, o->order ? nb - 1 - i : i, g, smem, o);  // any order but the forward one turns the blocks round
            if (w->failed) {
#pragma omp critical
                { if (!bad) snprintf(err, errlen, "%s", w->err); bad = 1; }
            }
        }
    }
    return bad;
}
