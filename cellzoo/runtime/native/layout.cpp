#include "layout.h"

#include <algorithm>

namespace cellzoo {
namespace {

// Unit blocks of the same rows are read together. An odd stride spreads them over the sets of the cache.
int64_t stride_of(int64_t rows) { return rows + (13 - rows % 16 + 16) % 16; }

}  // namespace

Layout::Layout(const Plan &plan, const cellzoo_call &call, const Engine &engine, bool backward)
    : plan_(plan),
      call_(call),
      engine_(engine),
      backward_(backward),
      lanes_(engine.lanes[call.dtype]),
      number_bytes_(call.dtype == 0 ? 4 : 8),
      terms_(terms_of(plan, engine.rounds, backward)),
      split_(plan, call, engine, backward),
      saved_(call.saved),
      scratch_(call.scratch) {
    offsets_.push_back(0);
    for (int64_t t = 0; t < call.steps; t++) offsets_.push_back(offsets_.back() + call.batch_sizes[t]);
    if (plan.mask_buffers[0] >= 0 || plan.mask_buffers[1] >= 0)
        for (int64_t t = 0; t < call.steps; t++)
            for (int64_t row = 0; row < call.batch_sizes[t]; row++) row_of_.push_back(int32_t(row));
    place_buffers();
    place_packs();
    place_vectors();
    place_parts();
}

int64_t Layout::row_bytes(int64_t size) const { return (size + lanes_ - 1) / lanes_ * lanes_ * number_bytes_; }

void Layout::place_buffers() {
    for (int64_t i = 0; i < plan_.buffer_count; i++) {
        const Buffer &buffer = plan_.buffers[i];
        int64_t rows = call_.batch;
        bool keep = false;
        switch (buffer.kind) {
            case BufferKind::all:
            case BufferKind::input:
                rows = split_.segment_rows();
                keep = call_.training != 0;
                break;
            case BufferKind::state:
                rows = call_.training ? call_.rows + call_.batch : 2 * call_.batch;
                keep = call_.training != 0;
                break;
            case BufferKind::carry: rows = backward_ ? 2 * call_.batch : 0; break;
            default: break;
        }
        const int64_t stride = stride_of(rows);
        Workspace &workspace = keep ? saved_ : scratch_;
        buffers_.push_back({workspace.take(stride * row_bytes(buffer.size)), stride});
    }
}

// Packed weights in the order of the kernels, as each micro-kernel call prefetches what follows in memory. Null for
// kernels that read their weights unpacked.
void Layout::place_packs() {
    packs_.assign(size_t(plan_.phase_begin[phase_count]), nullptr);
    const Phase first = backward_ ? backward_step : forward_input;
    for (int64_t k = plan_.phase_begin[first]; k < plan_.phase_begin[first + 2]; k++) {
        const Kernel &kernel = plan_.kernels[k];
        const int64_t blocks = (kernel.size + lanes_ - 1) / lanes_;
        const int64_t groups = (blocks + kernel.group - 1) / kernel.group;
        // Packing does not pay off for few rows, nor for any number of steps with a single row.
        const bool is_alone = k >= plan_.phase_begin[first + 1] && call_.batch == 1;
        if (!backward_ && !engine_.rounds && (is_alone || call_.rows <= most_unpacked_rows)) continue;
        const int64_t row = engine_.rounds ? kernel.padded_depth * rounded_bytes : kernel.depth * number_bytes_;
        packs_[size_t(k)] = scratch_.take(terms_ * groups * row * 2 * lanes_);
    }
}

void Layout::place_vectors() {
    for (int64_t w = 0; w < plan_.weight_count; w++) {
        const Weight &weight = plan_.weights[w];
        vectors_.push_back(weight.rank == 1 ? scratch_.take(row_bytes(weight.rows)) : nullptr);
    }
}

void Layout::place_parts() {
    int64_t registers = 0, rounded = 0;
    for (int64_t k = 0; k < plan_.phase_begin[phase_count]; k++) {
        registers = std::max(registers, plan_.kernels[k].registers * plan_.kernels[k].group);
        rounded = std::max(rounded, plan_.kernels[k].rounded_depth);
    }
    const int64_t most_rows = std::max(call_.batch, std::min(call_.rows, input_tiles * engine_.super_rows));
    const int64_t panel_rows = std::min(gradient_rows, padded_depth_of(call_.rows));
    const bool masked = std::any_of(plan_.gradients, plan_.gradients + plan_.gradient_count,
                                    [](const WeightGradient &gradient) { return gradient.mask >= 0; });
    for (int64_t t = 0; t < split_.parts(); t++) {
        PartMemory memory{};
        memory.registers = scratch_.take(registers * engine_.super_rows * lanes_ * number_bytes_);
        if (engine_.rounds) memory.rounded = scratch_.take(terms_ * rounded * most_rows * rounded_bytes);
        memory.views = scratch_.take(plan_.view_count * view_bytes);
        sums_.emplace_back(size_t(plan_.weight_count), nullptr);
        if (backward_) {
            if (engine_.rounds) {
                memory.panels = scratch_.take(plan_.panel_blocks * panel_rows * lanes_ * rounded_bytes);
                memory.panels_done = scratch_.take(plan_.panel_blocks);
            } else if (masked) memory.masked = scratch_.take(gradient_vectors * gradient_rows * lanes_ * number_bytes_);
            for (int64_t w = 0; w < plan_.weight_count; w++)
                if (plan_.weights[w].rank == 1)
                    sums_.back()[size_t(w)] = scratch_.take(row_bytes(plan_.weights[w].rows));
            memory.touched = scratch_.take(plan_.weight_count);
            memory.scalars = reinterpret_cast<double *>(scratch_.take(plan_.weight_count * 8));
            memory.parameters = reinterpret_cast<double *>(scratch_.take(plan_.parameter_count * 8));
        }
        memory.vectors = sums_.back().data();
        parts_.push_back(memory);
    }
}

Job Layout::job(const double *constants) const {
    Job job{};
    job.plan = &plan_;
    job.call = &call_;
    job.constants = constants;
    job.backward = backward_;
    job.row_parts = split_.row_parts();
    job.column_parts = split_.column_parts();
    job.segments = split_.segments().data();
    job.segment_count = int64_t(split_.segments().size());
    job.bounds = split_.bounds().data();
    job.terms = terms_;
    job.offsets = offsets_.data();
    job.row_of = row_of_.data();
    job.buffers = buffers_.data();
    job.packs = packs_.data();
    job.vectors = vectors_.data();
    job.memory = parts_.data();
    return job;
}

}  // namespace cellzoo
