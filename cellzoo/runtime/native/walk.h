// One thread's walk over the phases and the steps of a call.
#pragma once

#include "kernel.h"
#include "norm.h"
#include "prepare.h"
#include "sums.h"
#include "weight_gradients.h"

namespace cellzoo {
namespace {

template <class T>
class Walk {
  public:
    Walk(const Job &job, int64_t thread)
        : job_(job),
          plan_(*job.plan),
          call_(*job.call),
          thread_(thread),
          at_{job, thread, job.memory[thread], reinterpret_cast<ViewAt<T> *>(job.memory[thread].views), {}, 0, 0,
              false} {
        static_assert(sizeof(ViewAt<T>) == view_bytes, "the layout leaves room for as much");
        for (int64_t i = 0; i < 2; i++)
            if (plan_.mask_buffers[i] >= 0) at_.masks[i] = buffer_at<T>(job, plan_.mask_buffers[i], 0);
        for (int64_t k = 0; k < plan_.phase_begin[phase_count]; k++)
            shares_rows_ |= 2 * job_.threads > blocks_of<T>(plan_.kernels[k].size);
        shares_rows_ &= job_.threads > 1;
    }

    void forward() {
        prepare();
        int64_t from = 0;
        while (from < call_.steps) {
            int64_t to = from, rows = 0;
            while (to < call_.steps && (call_.training || rows < least_chunk_rows))
                rows += call_.batch_sizes[step_at(to++)];
            const int64_t low = call_.reverse ? step_at(to - 1) : from;
            const int64_t high = call_.reverse ? step_at(from) : to - 1;
            chunk_row_ = job_.offsets[low];
            wait();
            input_phase(forward_input, {chunk_row_, job_.offsets[high + 1]});
            wait();
            for (int64_t order = from; order < to; order++) forward_one(order);
            from = to;
        }
    }

    void backward() {
        prepare();
        wait();
        Range rows{0, 0};  // whose weight gradients are not done
        for (int64_t order = call_.steps - 1; order >= 0; order--) {
            backward_one(order);
            const int64_t step = step_at(order);
            if (rows.size() == 0) rows = {job_.offsets[step], job_.offsets[step]};
            rows = {smaller(rows.begin, job_.offsets[step]), larger(rows.end, job_.offsets[step + 1])};
            if (rows.size() + (rounds ? batch_at(order - 1) : 1) <= gradient_rows && order > 0) continue;
            wait();
            add_weight_gradients(at_, rows, false);
            rows = {0, 0};
        }
        wait();
        input_phase(backward_input, {0, call_.rows});
        wait();
        add_weight_gradients(at_, {0, call_.rows}, true);
        clear_untouched_gradients(at_);
        wait();
        if (thread_ == 0) write_sums<T>(job_);
    }

  private:
    void wait() {
        if (job_.threads > 1) job_.wait(job_.team);
    }

    // The step that is processed as number `order` of the forward walk.
    int64_t step_at(int64_t order) const { return call_.reverse ? call_.steps - 1 - order : order; }

    int64_t batch_at(int64_t order) const {
        return order < 0 || order >= call_.steps ? 0 : call_.batch_sizes[step_at(order)];
    }

    void prepare() {
        if (thread_ == 0) {
            spread_vectors<T>(job_);
            spread_masks<T>(job_);
        }
        pack_weights<T>(job_, thread_);
        if (job_.backward) clear_sums<T>(job_, at_.memory);
    }

    // All rows at once: rows are shared out, and go through all kernels in chunks that stay in the cache.
    void input_phase(Phase phase, Range rows) {
        const Range own = part_of(rows.size(), thread_, job_.threads);
        const int64_t chunks = (own.size() + input_tiles * super_rows - 1) / (input_tiles * super_rows);
        for (int64_t i = 0; i < chunks; i++) {
            const Range part = part_of(own.size(), i, chunks);
            const Range chunk = {own.begin + part.begin, own.begin + part.end};
            if (phase == forward_input) read_inputs(rows.begin, chunk);
            at_.packed_row = rows.begin;
            at_.is_step = false;
            for (int64_t v = 0; v < plan_.view_count; v++)
                if (plan_.views[v].kind == ViewKind::rows) at_.views[v] = buffer_at<T>(job_, plan_.views[v].buffer, 0);
            for (int64_t k = plan_.phase_begin[phase]; k < plan_.phase_begin[phase + 1]; k++)
                KernelRun<T>(at_, k).run({0, blocks_of<T>(plan_.kernels[k].size)}, chunk);
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

    void forward_one(int64_t order) {
        point_views(order);
        const int64_t batch = batch_at(order), before = batch_at(order - 1), after = batch_at(order + 1);
        wait_for_rows(batch != before);
        for (int64_t s = 0; s < plan_.state_count; s++)
            enter(s, state_at(s, order), {before, batch}, call_.initial);
        wait_for_rows(batch != before);
        run_step(forward_step, batch);
        wait_for_rows(batch != after);
        for (int64_t s = 0; s < plan_.state_count; s++)
            leave(s, state_at(s, order + 1), {after, batch}, call_.final);
    }

    void backward_one(int64_t order) {
        point_views(order);
        const int64_t batch = batch_at(order), before = batch_at(order + 1), after = batch_at(order - 1);
        wait_for_rows(batch != before);
        for (int64_t s = 0; s < plan_.state_count; s++)
            if (plan_.carry_buffers[s] >= 0) enter(s, carry_at(s, order + 1), {before, batch}, call_.grad_final);
        wait_for_rows(batch != before);
        run_step(backward_step, batch);
        wait_for_rows(batch != after);
        for (int64_t s = 0; s < plan_.state_count; s++)
            if (plan_.carry_buffers[s] >= 0) leave(s, carry_at(s, order), {after, batch}, call_.grad_initial);
    }

    // Where rows are shared out too, their owners change with the size of the batch, and rows enter and leave by one
    // thread of each range of units.
    void wait_for_rows(bool change) {
        if (change && shares_rows_) wait();
    }

    // State at the start of the step of number `order`.
    ViewAt<T> state_at(int64_t state, int64_t order) const {
        int64_t row = (order % 2) * call_.batch;
        if (call_.training) row = order == call_.steps ? call_.rows : job_.offsets[step_at(order)];
        return buffer_at<T>(job_, plan_.state_buffers[state], row);
    }

    // Its gradient.
    ViewAt<T> carry_at(int64_t state, int64_t order) const {
        return buffer_at<T>(job_, plan_.carry_buffers[state], (order % 2) * call_.batch);
    }

    void point_views(int64_t order) {
        const int64_t step = step_at(order);
        at_.step = step;
        at_.packed_row = job_.offsets[step];
        at_.is_step = true;
        for (int64_t v = 0; v < plan_.view_count; v++) {
            const View &view = plan_.views[v];
            const Buffer &buffer = plan_.buffers[view.buffer];
            const bool all = buffer.kind == BufferKind::all || buffer.kind == BufferKind::input;
            switch (view.kind) {
                case ViewKind::rows:
                    at_.views[v] = buffer_at<T>(job_, view.buffer, all ? at_.packed_row - chunk_row_ : 0);
                    break;
                case ViewKind::state_in: at_.views[v] = state_at(buffer.index, order); break;
                case ViewKind::state_out: at_.views[v] = state_at(buffer.index, order + 1); break;
                case ViewKind::carry_in:
                    if (job_.backward) at_.views[v] = carry_at(buffer.index, order + 1);
                    break;
                case ViewKind::carry_out:
                    if (job_.backward) at_.views[v] = carry_at(buffer.index, order);
                    break;
            }
        }
    }

    // Rows that start here take their values from outside.
    void enter(int64_t state, ViewAt<T> to, Range rows, const void *const *from) {
        if (rows.size() <= 0) return;
        const int64_t size = plan_.state_sizes[state];
        const Share share = share_of<T>(size, thread_, job_.threads);
        if (share.row_index != 0) return;
        to.data += rows.begin * lanes<T>;
        const T *values = from == nullptr ? nullptr : static_cast<const T *>(from[state]);
        if (values == nullptr)
            clear_rows<T>(rows.size(), share.blocks.begin, share.blocks.end, to.data, to.stride);
        else
            scatter_rows<T>(values + rows.begin * size, size, rows.size(), share.blocks.begin, share.blocks.end,
                            to.data, to.stride);
    }

    // Rows that end here leave theirs.
    void leave(int64_t state, ViewAt<T> from, Range rows, void *const *to) {
        if (rows.size() <= 0 || to == nullptr || to[state] == nullptr) return;
        const int64_t size = plan_.state_sizes[state];
        const Share share = share_of<T>(size, thread_, job_.threads);
        if (share.row_index != 0) return;
        gather_rows<T>(from.data + rows.begin * lanes<T>, from.stride, size, rows.size(), share.blocks.begin,
                       share.blocks.end, static_cast<T *>(to[state]) + rows.begin * size);
    }

    void run_step(Phase phase, int64_t batch) {
        for (int64_t k = plan_.phase_begin[phase]; k < plan_.phase_begin[phase + 1]; k++) {
            const Kernel &kernel = plan_.kernels[k];
            const Share share = share_of<T>(kernel.size, thread_, job_.threads);
            if (kernel.barrier) wait();
            if (kernel.norm == NormKind::none)
                KernelRun<T>(at_, k).run(share.blocks, part_of(batch, share.row_index, share.row_parts));
            else
                run_norm(kernel, share, batch);
        }
    }

    // Over all rows of its units.
    void run_norm(const Kernel &kernel, const Share &share, int64_t batch) {
        if (shares_rows_) wait();
        if (share.row_index == 0 && batch > 0)
            for (int64_t block = share.blocks.begin; block < share.blocks.end; block++) {
                if (kernel.norm == NormKind::forward)
                    normalise<T>(at_.views, kernel.norm_views, block, batch, moments_of(kernel), kernel.size);
                else
                    normalise_backward<T>(at_.views, kernel.norm_views, block, batch);
            }
        if (shares_rows_) wait();
    }

    // Where the mean and variance of this step go, or null.
    T *moments_of(const Kernel &norm) const {
        if (call_.norm_statistics == nullptr) return nullptr;
        int64_t before = 0;
        for (const Kernel *kernel = plan_.kernels + plan_.phase_begin[forward_step]; kernel < &norm; kernel++)
            before += kernel->norm == NormKind::forward;
        return static_cast<T *>(call_.norm_statistics) + (before * call_.steps + at_.step) * 2 * norm.size;
    }

    const Job &job_;
    const Plan &plan_;
    const cellzoo_call &call_;
    const int64_t thread_;
    Position<T> at_;
    int64_t chunk_row_ = 0;     // packed row of row 0 of buffers of all rows
    bool shares_rows_ = false;  // between threads, for some size
};

template <class T>
void run_walk(const Job &job, int64_t thread) {
    Walk<T> walk(job, thread);
    if (job.backward) walk.backward();
    else walk.forward();
    release_tiles();
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
