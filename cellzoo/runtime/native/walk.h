// Runs the phases and steps of a call.
#pragma once

#include "kernel.h"
#include "norm.h"
#include "prepare.h"
#include "sums.h"
#include "weight_gradients.h"

namespace cellzoo {
namespace {

// Every thread of a team runs this code. Each phase is split into parts, which the threads take; a barrier ends it.
template <class T>
class Walk {
  public:
    Walk(const Job &job, int64_t thread)
        : job_(job), plan_(*job.plan), call_(*job.call), member_{thread, 0, -1} {
        static_assert(sizeof(ViewAt<T>) == view_bytes, "the layout reserves view_bytes for each");
    }

    // Like all functions below that return a bool, false if the call ended without this thread.
    bool forward() {
        if (!each_part([&](Position<T> &at) { prepare(at); })) return false;
        for (segment_ = 0; segment_ < job_.segment_count; segment_++) {
            const Segment &segment = job_.segments[segment_];
            const Range rows{job_.offsets[segment.first], job_.offsets[segment.last]};
            first_row_ = rows.begin;
            if (!each_part([&](Position<T> &at) { input_phase(at, forward_input, rows); })) return false;
            if (!walk_steps(forward_step, segment.from, segment.to)) return false;
        }
        return true;
    }

    bool backward() {
        if (!each_part([&](Position<T> &at) { prepare(at); })) return false;
        // Weight gradients are accumulated every few steps, while the rows are in the cache. If the rows of the batch
        // are split between parts, that would need barriers, so they are accumulated after all steps.
        const bool at_end = job_.row_parts > 1;
        if (at_end && !walk_steps(backward_step, 0, call_.steps)) return false;
        for (int64_t from = 0; from < call_.steps;) {
            int64_t to = from;
            Range rows{job_.offsets[backward_step_at(from)], job_.offsets[backward_step_at(from)]};
            do {
                const int64_t step = backward_step_at(to++);
                rows = {smaller(rows.begin, job_.offsets[step]), larger(rows.end, job_.offsets[step + 1])};
            } while (to < call_.steps && rows.size() + (rounds ? backward_batch(to) : 1) <= gradient_rows);
            if (!at_end && !walk_steps(backward_step, from, to)) return false;
            if (!each_part([&](Position<T> &at) { add_weight_gradients(at, rows, false); })) return false;
            from = to;
        }
        if (!each_part([&](Position<T> &at) { input_phase(at, backward_input, {0, call_.rows}); })) return false;
        if (!each_part([&](Position<T> &at) {
                add_weight_gradients(at, {0, call_.rows}, true);
                clear_untouched_gradients(at);
            }))
            return false;
        return each_part([&](Position<T> &at) {
            if (at.part == 0) write_sums<T>(job_);
        });
    }

  private:
    // A point in the sequence of steps: before a kernel of a step, or at the entry of the step.
    struct Point {
        int64_t order, kernel;
        bool operator!=(const Point &other) const { return order != other.order || kernel != other.kernel; }
    };
    static constexpr int64_t entry = -1;

    // Runs one phase: calls the function for each part that this thread takes, then waits at the barrier.
    template <class Function>
    bool each_part(Function function) {
        if (job_.parts() == 1) {
            Position<T> at = position_of(0);
            function(at);
            return true;
        }
        int64_t part;
        while ((part = job_.next(job_.team, member_)) >= 0) {
            Position<T> at = position_of(part);
            function(at);
        }
        return part == all_done;
    }

    Position<T> position_of(int64_t part) const {
        const PartMemory &memory = job_.memory[part];
        Position<T> at{job_, part, memory, reinterpret_cast<ViewAt<T> *>(memory.views), {}, 0, 0, false};
        for (int64_t i = 0; i < 2; i++)
            if (plan_.mask_buffers[i] >= 0) at.masks[i] = buffer_at<T>(job_, plan_.mask_buffers[i], 0);
        return at;
    }

    // The step at position `order` of the forward pass.
    int64_t step_at(int64_t order) const { return call_.reverse ? call_.steps - 1 - order : order; }

    int64_t batch_at(int64_t order) const {
        return order < 0 || order >= call_.steps ? 0 : call_.batch_sizes[step_at(order)];
    }

    // The same for the backward pass, which runs in the opposite order.
    int64_t backward_step_at(int64_t number) const { return step_at(call_.steps - 1 - number); }
    int64_t backward_batch(int64_t number) const { return batch_at(call_.steps - 1 - number); }

    // The intersection of `rows` with the part's rows in the current segment.
    Range rows_of_part(const Position<T> &at, Range rows) const {
        const int64_t *bounds = job_.bounds + segment_ * (job_.row_parts + 1) + at.part / job_.column_parts;
        return {larger(rows.begin, smaller(rows.end, bounds[0])), larger(rows.begin, smaller(rows.end, bounds[1]))};
    }

    Range blocks_of_its(const Position<T> &at, int64_t size) const {
        return blocks_of_part<T>(size, at.part % job_.column_parts, job_.column_parts);
    }

    void prepare(Position<T> &at) {
        if (at.part == 0) {
            block_vectors<T>(job_);
            block_masks<T>(job_);
        }
        pack_weights<T>(job_, at.part);
        if (job_.backward) clear_sums<T>(job_, at.memory);
    }

    // Runs an input phase on this part's share of the rows, in chunks that stay in the cache from kernel to kernel.
    void input_phase(Position<T> &at, Phase phase, Range rows) {
        const Range own = part_of(rows.size(), at.part, job_.parts());
        const int64_t chunks = (own.size() + input_tiles * super_rows - 1) / (input_tiles * super_rows);
        for (int64_t i = 0; i < chunks; i++) {
            const Range part = part_of(own.size(), i, chunks);
            const Range chunk = {own.begin + part.begin, own.begin + part.end};
            if (phase == forward_input) read_inputs(rows.begin, chunk);
            at.packed_row = rows.begin;
            at.is_step = false;
            for (int64_t v = 0; v < plan_.view_count; v++)
                if (plan_.views[v].kind == ViewKind::rows) at.views[v] = buffer_at<T>(job_, plan_.views[v].buffer, 0);
            for (int64_t k = plan_.phase_begin[phase]; k < plan_.phase_begin[phase + 1]; k++)
                KernelRun<T>(at, k).run({0, blocks_of<T>(plan_.kernels[k].size)}, chunk);
        }
    }

    void read_inputs(int64_t base, Range rows) {
        for (int64_t b = 0; b < plan_.buffer_count; b++) {
            if (plan_.buffers[b].kind != BufferKind::input) continue;
            const ViewAt<T> to = buffer_at<T>(job_, b, rows.begin);
            const T *from = static_cast<const T *>(call_.inputs) + (base + rows.begin) * plan_.input_size;
            scatter_rows<T>(from, plan_.input_size, rows.size(), 0, blocks_of<T>(plan_.input_size), to.data,
                            to.stride);
        }
    }

    // Runs the steps at positions [from, to) of a phase, with a barrier wherever a kernel needs one.
    bool walk_steps(Phase phase, int64_t from, int64_t to) {
        for (Point point{from, entry}; point.order < to;) {
            const Point end = next_barrier(phase, point, to);
            if (!each_part([&](Position<T> &at) { run_steps(at, phase, point, end); })) return false;
            point = end;
        }
        return true;
    }

    // The next point at which the parts must wait for each other.
    Point next_barrier(Phase phase, Point point, int64_t to) const {
        const int64_t kernels = plan_.phase_begin[phase + 1] - plan_.phase_begin[phase];
        const bool has_barriers = job_.column_parts > 1;
        for (int64_t order = point.order; has_barriers && order < to; order++)
            for (int64_t k = order == point.order ? point.kernel + 1 : 0; k < kernels; k++)
                if (plan_.kernels[plan_.phase_begin[phase] + k].barrier) return {order, k};
        return {to, entry};
    }

    void run_steps(Position<T> &at, Phase phase, Point point, Point end) {
        const int64_t kernels = plan_.phase_begin[phase + 1] - plan_.phase_begin[phase];
        while (point != end) {
            const int64_t order = phase == forward_step ? point.order : call_.steps - 1 - point.order;
            at.step = step_at(order);
            at.packed_row = job_.offsets[at.step];
            at.is_step = true;
            if (point.kernel == entry) enter_step(at, phase, order);
            const int64_t last = point.order == end.order ? end.kernel : kernels;
            for (int64_t k = larger(point.kernel, 0); k < last; k++)
                run_kernel(at, plan_.phase_begin[phase] + k, batch_at(order));
            if (point.order == end.order) return;
            leave_step(at, phase, order);
            point = {point.order + 1, entry};
        }
    }

    void run_kernel(Position<T> &at, int64_t index, int64_t batch) {
        const Kernel &kernel = plan_.kernels[index];
        const Range blocks = blocks_of_its(at, kernel.size);
        if (kernel.norm == NormKind::none) KernelRun<T>(at, index).run(blocks, rows_of_part(at, {0, batch}));
        else run_norm(at, kernel, blocks, batch);
    }

    void enter_step(Position<T> &at, Phase phase, int64_t order) {
        point_views(at, order);
        const int64_t batch = batch_at(order);
        const Range rows = rows_of_part(at, {batch_at(phase == forward_step ? order - 1 : order + 1), batch});
        for (int64_t s = 0; s < plan_.state_count; s++) {
            if (phase == forward_step) enter(at, s, state_at(s, order), rows, call_.initial);
            else if (plan_.carry_buffers[s] >= 0) enter(at, s, carry_at(s, order + 1), rows, call_.grad_final);
        }
    }

    void leave_step(Position<T> &at, Phase phase, int64_t order) {
        const int64_t batch = batch_at(order);
        const Range rows = rows_of_part(at, {batch_at(phase == forward_step ? order + 1 : order - 1), batch});
        for (int64_t s = 0; s < plan_.state_count; s++) {
            if (phase == forward_step) {
                leave(at, s, state_after(at, s, order), rows, call_.final);
                if (is_apart(at, order)) join(at, s, order);
            }
            else if (plan_.carry_buffers[s] >= 0) leave(at, s, carry_at(s, order), rows, call_.grad_initial);
        }
    }

    // The state before the step at position `order`.
    ViewAt<T> state_at(int64_t state, int64_t order) const {
        int64_t row = (order % 2) * call_.batch;
        if (call_.training) row = order == call_.steps ? call_.rows : job_.offsets[step_at(order)];
        return buffer_at<T>(job_, plan_.state_buffers[state], row);
    }

    // The state after the step. In training it is stored at the packed rows of the next step. Rows that end here have
    // none there: they would overlap states of later steps, which other parts may be writing already. So a part with
    // such rows writes all of its rows to a separate area, from which `join` copies those that continue.
    ViewAt<T> state_after(const Position<T> &at, int64_t state, int64_t order) const {
        if (is_apart(at, order)) return buffer_at<T>(job_, plan_.state_buffers[state], call_.rows);
        return state_at(state, order + 1);
    }

    bool is_apart(const Position<T> &at, int64_t order) const {
        return job_.row_parts > 1 && call_.training && order + 1 < call_.steps &&
               rows_of_part(at, {batch_at(order + 1), batch_at(order)}).size() > 0;
    }

    // Copies the states of rows that continue from the separate area to where the next step reads them.
    void join(const Position<T> &at, int64_t state, int64_t order) {
        const ViewAt<T> from = state_after(at, state, order), to = state_at(state, order + 1);
        const Range rows = rows_of_part(at, {0, batch_at(order + 1)});
        const Range blocks = blocks_of_its(at, plan_.state_sizes[state]);
        for (int64_t block = blocks.begin; block < blocks.end; block++)
            for (int64_t row = rows.begin; row < rows.end; row++)
                store(to.data + block * to.stride + row * lanes<T>,
                      load(from.data + block * from.stride + row * lanes<T>));
    }

    // The gradient of the state before the step.
    ViewAt<T> carry_at(int64_t state, int64_t order) const {
        return buffer_at<T>(job_, plan_.carry_buffers[state], (order % 2) * call_.batch);
    }

    void point_views(Position<T> &at, int64_t order) {
        for (int64_t v = 0; v < plan_.view_count; v++) {
            const View &view = plan_.views[v];
            const Buffer &buffer = plan_.buffers[view.buffer];
            const bool all = buffer.kind == BufferKind::all || buffer.kind == BufferKind::input;
            switch (view.kind) {
                case ViewKind::rows:
                    at.views[v] = buffer_at<T>(job_, view.buffer, all ? at.packed_row - first_row_ : 0);
                    break;
                case ViewKind::state_in: at.views[v] = state_at(buffer.index, order); break;
                case ViewKind::state_out: at.views[v] = state_after(at, buffer.index, order); break;
                case ViewKind::carry_in:
                    if (job_.backward) at.views[v] = carry_at(buffer.index, order + 1);
                    break;
                case ViewKind::carry_out:
                    if (job_.backward) at.views[v] = carry_at(buffer.index, order);
                    break;
            }
        }
    }

    // Loads the initial values of rows that start at this step.
    void enter(const Position<T> &at, int64_t state, ViewAt<T> to, Range rows, const void *const *from) {
        if (rows.size() <= 0) return;
        const int64_t size = plan_.state_sizes[state];
        const Range blocks = blocks_of_its(at, size);
        to.data += rows.begin * lanes<T>;
        const T *values = from == nullptr ? nullptr : static_cast<const T *>(from[state]);
        if (values == nullptr) clear_rows<T>(rows.size(), blocks.begin, blocks.end, to.data, to.stride);
        else
            scatter_rows<T>(values + rows.begin * size, size, rows.size(), blocks.begin, blocks.end, to.data,
                            to.stride);
    }

    // Stores the final values of rows that end at this step.
    void leave(const Position<T> &at, int64_t state, ViewAt<T> from, Range rows, void *const *to) {
        if (rows.size() <= 0 || to == nullptr || to[state] == nullptr) return;
        const int64_t size = plan_.state_sizes[state];
        const Range blocks = blocks_of_its(at, size);
        gather_rows<T>(from.data + rows.begin * lanes<T>, from.stride, size, rows.size(), blocks.begin, blocks.end,
                       static_cast<T *>(to[state]) + rows.begin * size);
    }

    // Normalises the given units over all rows of the step; with norms, rows are never split between parts.
    void run_norm(const Position<T> &at, const Kernel &kernel, Range blocks, int64_t batch) {
        for (int64_t block = blocks.begin; block < blocks.end && batch > 0; block++) {
            if (kernel.norm == NormKind::forward)
                normalise<T>(at.views, kernel.norm_views, block, batch, moments_of(at, kernel), kernel.size);
            else
                normalise_backward<T>(at.views, kernel.norm_views, block, batch);
        }
    }

    // Where to write the mean and the variance of this step, or null.
    T *moments_of(const Position<T> &at, const Kernel &norm) const {
        if (call_.norm_statistics == nullptr) return nullptr;
        int64_t before = 0;
        for (const Kernel *kernel = plan_.kernels + plan_.phase_begin[forward_step]; kernel < &norm; kernel++)
            before += kernel->norm == NormKind::forward;
        return static_cast<T *>(call_.norm_statistics) + (before * call_.steps + at.step) * 2 * norm.size;
    }

    const Job &job_;
    const Plan &plan_;
    const cellzoo_call &call_;
    Member member_;
    int64_t segment_ = 0;
    int64_t first_row_ = 0;  // packed row number of row 0 of buffers with a row for each packed row
};

template <class T>
bool run_walk(const Job &job, int64_t thread) {
    Walk<T> walk(job, thread);
    const bool stayed = job.backward ? walk.backward() : walk.forward();
    release_tiles();
    return stayed;
}

constexpr Engine make_engine() {
    constexpr auto of_doubles = [] {
        if constexpr (rounds) return nullptr;
        else return run_walk<double>;
    };
    return {{lanes<float>, lanes<double>}, super_rows, rounds, {run_walk<float>, of_doubles()}};
}

}  // namespace
}  // namespace cellzoo
