// Deliberately wrong kernels, each beside its repaired twin where there is one: what the checkers must catch.
// Launch shapes and who catches which: test_mutants.py. No kernel of the package.
#ifndef GN_DYNAMIC_SHARED  // the CPU execution brings its own
#define GN_DYNAMIC_SHARED(T, name)                                      \
    extern __shared__ __align__(16) unsigned char gn_dynamic_shared_[]; \
    T* name = reinterpret_cast<T*>(gn_dynamic_shared_)
#endif

// (a) missing __syncthreads between write and read of a neighbour's cell
extern "C" __global__ void bad_neighbour(const float* x, float* y, int n) {
    __shared__ float s[256];
    s[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = s[(threadIdx.x + 1) % n];
}
// (b) relies on warp lockstep without __syncwarp
extern "C" __global__ void bad_lockstep(const float* x, float* y) {
    __shared__ float s[32];
    s[threadIdx.x] = x[threadIdx.x];
    for (unsigned o = 16; o > 0; o >>= 1)
        if (threadIdx.x < o) s[threadIdx.x] += s[threadIdx.x + o];
    if (threadIdx.x == 0) y[0] = s[0];
}
// (b') the same, repaired
extern "C" __global__ void good_lockstep(const float* x, float* y) {
    __shared__ float s[32];
    s[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    for (unsigned o = 16; o > 0; o >>= 1) {
        if (threadIdx.x < o) s[threadIdx.x] += s[threadIdx.x + o];
        __syncwarp();
    }
    if (threadIdx.x == 0) y[0] = s[0];
}
// (c) two blocks write the same global word without an atomic
extern "C" __global__ void bad_inter_block(float* y) { if (threadIdx.x == 0) y[0] += 1.f; }
extern "C" __global__ void good_inter_block(float* y) { if (threadIdx.x == 0) atomicAdd(y, 1.f); }
// (d) global out of bounds by one
extern "C" __global__ void bad_oob_global(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n) y[i] = x[i];
}
// (e) shared out of bounds (static), (e') dynamic
extern "C" __global__ void bad_oob_shared(float* y) {
    __shared__ float s[64];
    s[threadIdx.x + 1] = 1.f;
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x];
}
extern "C" __global__ void bad_oob_dynamic(float* y, int n) {
    GN_DYNAMIC_SHARED(float, s);
    s[threadIdx.x + 1] = 1.f;
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x];
}
// (f) misaligned vector load
extern "C" __global__ void bad_align(const float* x, float* y) {
    float4 v = *reinterpret_cast<const float4*>(x + 1);
    y[threadIdx.x] = v.x;
}
// (g) 32-bit index overflow
extern "C" __global__ void bad_index32(float* y, int rows, int cols) {
    int i = (rows - 1) * cols + (cols - 1);
    if (threadIdx.x == 0 && i >= 0) y[0] = (float)i;
}
// (h) __syncthreads in divergent code
extern "C" __global__ void bad_divergent_barrier(float* y) {
    if (threadIdx.x < 16) { y[threadIdx.x] = 1.f; __syncthreads(); }
    else                  { y[threadIdx.x] = 2.f; __syncthreads(); }
}
// (i) shuffle with a mask naming a lane that has left
extern "C" __global__ void bad_shuffle_mask(float* y) {
    if (threadIdx.x >= 20) return;
    y[threadIdx.x] = __shfl_down_sync(0xffffffffu, (float)threadIdx.x, 1);
}
// (j) reads shared memory that nobody wrote
extern "C" __global__ void bad_uninitialised(float* y) {
    __shared__ float s[32];
    if (threadIdx.x < 16) s[threadIdx.x] = 1.f;
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x];
}
// (k) write-after-read: the second round overwrites before all have read
extern "C" __global__ void bad_war(const float* x, float* y, int rounds) {
    __shared__ float s[128];
    float acc = 0.f;
    for (int r = 0; r < rounds; ++r) {
        s[threadIdx.x] = x[threadIdx.x] + r;
        __syncthreads();
        acc += s[127 - threadIdx.x];
        // missing __syncthreads()
    }
    y[threadIdx.x] = acc;
}
// (l) last-block pattern: correct with __threadfence
extern "C" __global__ void last_block_sum(const float* x, float* part, unsigned* count, float* y) {
    __shared__ bool last;
    float v = x[blockIdx.x * blockDim.x + threadIdx.x];
    for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    if (threadIdx.x == 0) {
        part[blockIdx.x] = v;
#ifndef GN_PLANT_MISSING_FENCE
        __threadfence();
#endif
        last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        __threadfence();
        float s = 0.f;
        for (unsigned b = 0; b < gridDim.x; ++b) s += ((volatile float*)part)[b];
        y[0] = s;
    }
}
