// The C interface of the native engine: what ctypes sees.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define CELLZOO_API extern "C" __declspec(dllexport)
#else
#define CELLZOO_API extern "C" __attribute__((visibility("default")))
#endif

// One call. Matrices are row-major and contiguous; rows are packed, N = sum of batch_sizes, as in PackedSequence.
struct cellzoo_call {
    int64_t dtype;    // 0 float32, 1 float64
    int64_t isa;      // 0 the best of this machine, 1 baseline, 2 AVX2, 3 AVX-512
    int64_t precision;  // of products: 0 dtype's, 1 float32 sums of numbers rounded to bfloat16; dtype and isa are 0
    int64_t threads;  // at most so many
    int64_t steps, batch, rows;  // T, B = batch_sizes[0], N
    const int64_t *batch_sizes;  // (T), never growing
    int64_t reverse;             // walk from the last step to the first
    int64_t training;            // keep in `saved` what the backward call needs
    const void *inputs;          // (N, E)
    void *outputs;               // (N, H)
    const void *const *initial;  // a state: (B, width), null for zeros
    void *const *final;          // a state: (B, width), null where not wanted
    const void *const *masks;    // x (B, E), h (B, H)
    const void *const *weights;  // by number; a null vector stands for zeros
    const void *parameters;
    void *saved;
    void *scratch;
    // Backward only. Gradients are written, never accumulated onto.
    const void *grad_outputs;       // (N, H)
    const void *const *grad_final;  // a state: (B, width), null for zeros
    void *grad_inputs;              // (N, E) or null
    void *const *grad_initial;      // a state: (B, width), null where not wanted
    void *const *grad_weights;      // by number, null where not wanted
    void *grad_parameters;          // or null
    // Forward only: (norms, T, 2, width), mean and biased variance of what each norm sees at each step, or null.
    void *norm_statistics;
};

enum cellzoo_status : int64_t {
    CELLZOO_OK = 0,
    CELLZOO_BAD_PLAN = -1,
    CELLZOO_BAD_CALL = -2,
    CELLZOO_NO_MEMORY = -3,
    CELLZOO_NO_ISA = -4,
};

CELLZOO_API int64_t cellzoo_abi_version(void);

// Best instruction set of this machine: 1 baseline, 2 AVX2, 3 AVX-512.
CELLZOO_API int64_t cellzoo_isa(void);

// Whether this machine has products of bfloat16: 1 by AMX, 0 not at all.
CELLZOO_API int64_t cellzoo_bfloat16(void);

// Numbers a vector register holds; 0 where the machine lacks the instruction set.
CELLZOO_API int64_t cellzoo_lanes(int64_t isa, int64_t dtype);

// Bytes of `saved` and `scratch` for a call whose dtype, isa, threads, sizes, training and masks are set.
CELLZOO_API int64_t cellzoo_workspace(const int64_t *plan, int64_t length, const cellzoo_call *call, int64_t backward,
                                      int64_t bytes[2]);

CELLZOO_API int64_t cellzoo_forward(const int64_t *plan, int64_t length, const double *constants,
                                    const cellzoo_call *call);

// Consumes `saved`.
CELLZOO_API int64_t cellzoo_backward(const int64_t *plan, int64_t length, const double *constants,
                                     const cellzoo_call *call);

// Memory aligned to 64 bytes, large blocks to huge pages; null when there is none.
CELLZOO_API void *cellzoo_allocate(int64_t bytes);
CELLZOO_API void cellzoo_free(void *memory);
