// The C interface: validates a call, lays out its memory and runs it.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "amx.h"
#include "api.h"
#include "layout.h"
#include "plan_reader.h"
#include "team.h"

namespace cellzoo {
namespace {

constexpr int64_t most_rows = int64_t(1) << 31;
constexpr int64_t most_threads = 1024;

int64_t best_isa() {
#if defined(CELLZOO_AVX512)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return 3;
#endif
#if defined(CELLZOO_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 2;
#endif
    return 1;
}

// Null if the machine or the build lacks the instruction set.
const Engine *engine_of(int64_t isa) {
    // No function-local static: its guard would deadlock a child forked while another thread initialises it.
    static std::atomic<int64_t> known{0};
    int64_t best = known.load(std::memory_order_relaxed);
    if (best == 0) known.store(best = best_isa(), std::memory_order_relaxed);
    if (isa < 0 || isa > best) return nullptr;
    switch (isa == 0 ? best : isa) {
#if defined(CELLZOO_AVX512)
        case 3: return &avx512_engine;
#endif
#if defined(CELLZOO_AVX2)
        case 2: return &avx2_engine;
#endif
        case 1: return &baseline_engine;
        default: return nullptr;
    }
}

bool rounds_here() {
#if defined(CELLZOO_AMX)
    static std::atomic<int64_t> known{0};
    int64_t answer = known.load(std::memory_order_relaxed);
    if (answer == 0) known.store(answer = best_isa() == 3 && may_use_amx() ? 2 : 1, std::memory_order_relaxed);
    return answer == 2;
#else
    return false;
#endif
}

// Null if the machine or the build lacks the engine.
const Engine *engine_for(const cellzoo_call &call) {
#if defined(CELLZOO_AMX)
    if (call.precision == 1) return rounds_here() ? &amx_engine : nullptr;
#endif
    return call.precision == 0 ? engine_of(call.isa) : nullptr;
}

bool are_sizes_valid(const cellzoo_call &call) {
    if (call.dtype < 0 || call.dtype > 1 || call.threads < 1 || call.threads > most_threads) return false;
    if (call.precision != 0 && (call.precision != 1 || call.dtype != 0 || call.isa != 0)) return false;
    if (call.steps < 1 || call.batch < 0 || call.rows < 0 || call.batch_sizes == nullptr) return false;
    if (call.steps > most_rows || call.batch_sizes[0] != call.batch) return false;
    int64_t rows = 0, before = call.batch;
    for (int64_t t = 0; t < call.steps; t++) {
        const int64_t batch = call.batch_sizes[t];
        if (batch < 0 || batch > before) return false;
        before = batch;
        rows += batch;
        if (rows >= most_rows) return false;
    }
    return rows == call.rows;
}

// A matrix without rows may be null.
bool is_valid_matrix(const void *matrix, int64_t rows) { return matrix != nullptr || rows == 0; }

// Compilers may assume that pointers to numbers are aligned to them.
bool is_aligned(const void *pointer, int64_t dtype) {
    return reinterpret_cast<uintptr_t>(pointer) % (dtype == 0 ? sizeof(float) : sizeof(double)) == 0;
}

bool are_pointers_aligned(const Plan &plan, const cellzoo_call &call, bool backward) {
    const auto one = [&](const void *pointer) { return is_aligned(pointer, call.dtype); };
    const auto all = [&](const void *const *pointers, int64_t count) {
        return pointers == nullptr || std::all_of(pointers, pointers + count, one);
    };
    if (!one(call.inputs) || !one(call.parameters) || !all(call.weights, plan.weight_count)) return false;
    for (int64_t i = 0; i < 2; i++)
        if (plan.mask_buffers[i] >= 0 && !one(call.masks[i])) return false;
    if (!all(call.initial, plan.state_count)) return false;
    if (!backward) return one(call.outputs) && one(call.norm_statistics) && all(call.final, plan.state_count);
    return one(call.grad_outputs) && one(call.grad_inputs) && one(call.grad_parameters) &&
           all(call.grad_final, plan.state_count) && all(call.grad_initial, plan.state_count) &&
           all(call.grad_weights, plan.weight_count);
}

bool are_pointers_valid(const Plan &plan, const cellzoo_call &call, bool backward) {
    if (call.weights == nullptr && plan.weight_count > 0) return false;
    for (int64_t w = 0; w < plan.weight_count; w++)
        if (call.weights[w] == nullptr && plan.weights[w].rank != 1) return false;
    for (int64_t i = 0; i < 2; i++)
        if (plan.mask_buffers[i] >= 0 && (call.masks == nullptr || !is_valid_matrix(call.masks[i], call.batch)))
            return false;
    if (call.parameters == nullptr && plan.parameter_count > 0) return false;
    if (!is_valid_matrix(call.inputs, call.rows) || call.scratch == nullptr) return false;
    if (call.training && call.saved == nullptr) return false;
    if (!are_pointers_aligned(plan, call, backward)) return false;
    if (!backward) return is_valid_matrix(call.outputs, call.rows);
    return call.training && is_valid_matrix(call.grad_outputs, call.rows) && call.grad_weights != nullptr;
}

int64_t run(const int64_t *code, int64_t length, const double *constants, const cellzoo_call *call, bool backward) {
    const PlanPointer storage = read_plan(code, length);
    if (storage == nullptr) return CELLZOO_BAD_PLAN;
    const Plan &plan = plan_of(*storage);
    if (call == nullptr || !are_sizes_valid(*call) || !are_pointers_valid(plan, *call, backward))
        return CELLZOO_BAD_CALL;
    const Engine *engine = engine_for(*call);
    if (engine == nullptr) return CELLZOO_NO_ISA;
    const Layout layout(plan, *call, *engine, backward);
    if (!layout.is_possible()) return CELLZOO_NO_MEMORY;
    run_team(*engine, layout.job(constants), call->threads);
    return CELLZOO_OK;
}

// No exception may leave the C interface. The only ones expected are those of failed allocations.
template <class Function>
int64_t guarded(Function function) {
    try {
        return function();
    } catch (...) {
        return CELLZOO_NO_MEMORY;
    }
}

}  // namespace
}  // namespace cellzoo

using namespace cellzoo;

int64_t cellzoo_abi_version(void) { return 4; }

int64_t cellzoo_isa(void) { return best_isa(); }

int64_t cellzoo_bfloat16(void) { return rounds_here(); }

int64_t cellzoo_lanes(int64_t isa, int64_t dtype) {
    const Engine *engine = engine_of(isa);
    return engine == nullptr || dtype < 0 || dtype > 1 ? 0 : engine->lanes[dtype];
}

int64_t cellzoo_workspace(const int64_t *plan, int64_t length, const cellzoo_call *call, int64_t backward,
                          int64_t bytes[2]) {
    return guarded([&]() -> int64_t {
        const PlanPointer storage = read_plan(plan, length);
        if (storage == nullptr) return CELLZOO_BAD_PLAN;
        if (call == nullptr || bytes == nullptr || !are_sizes_valid(*call)) return CELLZOO_BAD_CALL;
        const Engine *engine = engine_for(*call);
        if (engine == nullptr) return CELLZOO_NO_ISA;
        const Layout layout(plan_of(*storage), *call, *engine, backward != 0);
        if (!layout.is_possible()) return CELLZOO_NO_MEMORY;
        bytes[0] = layout.saved_bytes();
        bytes[1] = layout.scratch_bytes();
        return CELLZOO_OK;
    });
}

int64_t cellzoo_forward(const int64_t *plan, int64_t length, const double *constants, const cellzoo_call *call) {
    return guarded([&] { return run(plan, length, constants, call, false); });
}

int64_t cellzoo_backward(const int64_t *plan, int64_t length, const double *constants, const cellzoo_call *call) {
    return guarded([&] { return run(plan, length, constants, call, true); });
}

void *cellzoo_allocate(int64_t bytes) {
    constexpr int64_t huge = int64_t(1) << 21;
    if (bytes < 0 || bytes > INT64_MAX - huge) return nullptr;
    const bool large = bytes >= huge / 2;
    const int64_t alignment = large ? huge : 64;
    const int64_t size = (bytes + alignment) / alignment * alignment;
    void *memory = std::aligned_alloc(size_t(alignment), size_t(size));
#if defined(__linux__)
    if (memory != nullptr && large) madvise(memory, size_t(size), MADV_HUGEPAGE);
#endif
    return memory;
}

void cellzoo_free(void *memory) { std::free(memory); }
