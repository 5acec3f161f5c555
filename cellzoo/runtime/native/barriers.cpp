#include "barriers.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace cellzoo {
namespace {

// Accesses since the last barrier. A state or carry has two sides: before and after the step.
struct Side {
    bool written = false, read = false;
};

class Scan {
  public:
    explicit Scan(const Plan &plan) : plan_(plan), sides_(size_t(2 * plan.buffer_count)) {}

    void begin_step() {
        for (int64_t b = 0; b < plan_.buffer_count; b++) {
            Side &in = sides_[size_t(2 * b)], &out = sides_[size_t(2 * b + 1)];
            const BufferKind kind = plan_.buffers[b].kind;
            if (kind == BufferKind::all || kind == BufferKind::input) in = {};
            if (kind != BufferKind::state && kind != BufferKind::carry) continue;
            std::swap(in, out);
            // Rows that start at this step are written at its entry.
            (kind == BufferKind::state ? in : out).written = true;
        }
    }

    bool must_wait(const Kernel &kernel) {
        bool wait = false;
        for_each_source(kernel, [&](Side &side) { wait |= side.written; });
        for_each_target(kernel, [&](Side &side) { wait |= side.read; });
        return wait;
    }

    void pass_barrier() { std::fill(sides_.begin(), sides_.end(), Side{}); }

    void record(const Kernel &kernel) {
        for_each_source(kernel, [](Side &side) { side.read = true; });
        for_each_target(kernel, [](Side &side) { side.written = true; });
    }

  private:
    Side &side_of(int64_t view) {
        const View &v = plan_.views[view];
        const bool next = v.kind == ViewKind::state_out || v.kind == ViewKind::carry_in;
        return sides_[size_t(2 * v.buffer + (next ? 1 : 0))];
    }

    template <class Function>
    void for_each_source(const Kernel &kernel, Function function) {
        for (int64_t i = 0; i < kernel.product_count; i++) function(side_of(kernel.products[i].source));
    }

    template <class Function>
    void for_each_target(const Kernel &kernel, Function function) {
        for (int64_t i = 0; i < kernel.instruction_count; i++) {
            const int64_t target = kernel.instructions[i].dst;
            if (target < 0 && target >= -plan_.view_count) function(side_of(-1 - target));
        }
        if (kernel.norm == NormKind::forward) {
            function(side_of(kernel.norm_views[1]));
            function(side_of(kernel.norm_views[2]));
        }
        if (kernel.norm == NormKind::backward) function(side_of(kernel.norm_views[3]));
    }

    const Plan &plan_;
    std::vector<Side> sides_;
};

}  // namespace

void set_barriers(const Plan &plan, Kernel *kernels) {
    for (const Phase phase : {forward_step, backward_step}) {
        Scan scan(plan);
        // The second round takes the accesses of the previous step into account.
        for (int round = 0; round < 2; round++) {
            scan.begin_step();
            for (int64_t k = plan.phase_begin[phase]; k < plan.phase_begin[phase + 1]; k++) {
                kernels[k].barrier |= scan.must_wait(kernels[k]);
                if (kernels[k].barrier) scan.pass_barrier();
                scan.record(kernels[k]);
            }
        }
    }
}

}  // namespace cellzoo
