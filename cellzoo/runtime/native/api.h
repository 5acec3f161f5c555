// The C interface of the native engine, called from Python through ctypes.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define CELLZOO_API extern "C" __declspec(dllexport)
#else
#define CELLZOO_API extern "C" __attribute__((visibility("default")))
#endif

// The arguments of one call. Matrices are row-major and contiguous; rows are packed as in PackedSequence, with
// N = sum(batch_sizes) rows in all. Pointers to pointers are arrays with one entry a state, mask or weight.
struct cellzoo_call {
    int64_t dtype;    // 0 float32, 1 float64
    int64_t isa;      // 0 best available, 1 baseline, 2 AVX2, 3 AVX-512
    int64_t precision;  // of products: 0 that of dtype, 1 bfloat16 factors with float32 sums (needs dtype 0 and isa 0)
    int64_t threads;  // maximum number of threads
    int64_t steps, batch, rows;  // T, B = batch_sizes[0], N
    const int64_t *batch_sizes;  // (T), non-increasing
    int64_t reverse;             // process the steps from the last to the first
    int64_t training;            // store in `saved` what the backward call needs
    const void *inputs;          // (N, E)
    void *outputs;               // (N, H)
    const void *const *initial;  // by state: (B, width), null for zeros
    void *const *final;          // by state: (B, width), null if not wanted
    const void *const *masks;    // of x (B, E), of hidden values (B, H)
    const void *const *weights;  // by index; a null vector stands for zeros
    const void *parameters;      // mixture parameters
    void *saved;
    void *scratch;
    // Backward only. Gradients are overwritten, not accumulated.
    const void *grad_outputs;       // (N, H)
    const void *const *grad_final;  // by state: (B, width), null for zeros
    void *grad_inputs;              // (N, E) or null
    void *const *grad_initial;      // by state: (B, width), null if not wanted
    void *const *grad_weights;      // by index, null if not wanted
    void *grad_parameters;          // or null
    // Forward only: (norms, T, 2, width), the mean and the biased variance of each norm's input at each step, or null.
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

// The best instruction set of this machine: 1 baseline, 2 AVX2, 3 AVX-512.
CELLZOO_API int64_t cellzoo_isa(void);

// Whether this machine has bfloat16 products: 1 with AMX, 0 not.
CELLZOO_API int64_t cellzoo_bfloat16(void);

// Numbers in a vector register; 0 if the machine lacks the instruction set.
CELLZOO_API int64_t cellzoo_lanes(int64_t isa, int64_t dtype);

// Bytes needed for `saved` and `scratch` by a call. Its pointers, except batch_sizes, need not be set yet.
CELLZOO_API int64_t cellzoo_workspace(const int64_t *plan, int64_t length, const cellzoo_call *call, int64_t backward,
                                      int64_t bytes[2]);

CELLZOO_API int64_t cellzoo_forward(const int64_t *plan, int64_t length, const double *constants,
                                    const cellzoo_call *call);

// Overwrites `saved`.
CELLZOO_API int64_t cellzoo_backward(const int64_t *plan, int64_t length, const double *constants,
                                     const cellzoo_call *call);

// Allocates memory aligned to 64 bytes, or to huge pages if it is large; null if there is none.
CELLZOO_API void *cellzoo_allocate(int64_t bytes);
CELLZOO_API void cellzoo_free(void *memory);
