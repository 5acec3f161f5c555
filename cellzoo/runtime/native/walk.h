// One thread's walk over the phases and the steps of a call.
#pragma once

#include "gradient.h"
#include "job.h"
#include "norm.h"
#include "pack.h"
#include "product.h"
#include "program.h"

namespace cellzoo {
namespace {

struct Range {
    int64_t begin, end;
    int64_t size() const { return end - begin; }
};

constexpr Range part_of(int64_t count, int64_t index, int64_t parts) {
    return {count * index / parts, count * (index + 1) / parts};
}

// What a thread owns of every kernel of one size: units first, rows too where there are more threads than pairs of
// blocks of units.
struct Share {
    Range blocks;
    int64_t row_index, row_parts;
};

template <class T>
Share share_of(int64_t size, int64_t thread, int64_t threads) {
    const int64_t blocks = blocks_of<T>(size), pairs = (blocks + 1) / 2;
    const int64_t columns = smaller(threads, pairs), row_parts = threads / columns;
    if (thread >= columns * row_parts) return {{0, 0}, 0, 1};
    const Range range = part_of(pairs, thread % columns, columns);
    return {{2 * range.begin, smaller(blocks, 2 * range.end)}, thread / columns, row_parts};
}

template <class T>
class Walk {
  public:
    Walk(const Job &job, int64_t thread)
        : job_(job),
          plan_(*job.plan),
          call_(*job.call),
          thread_(thread),
          memory_(job.memory[thread]),
          registers_(reinterpret_cast<T *>(memory_.registers)),
          views_(reinterpret_cast<ViewAt<T> *>(memory_.views)) {
        for (int64_t i = 0; i < 2; i++)
            if (plan_.mask_buffers[i] >= 0) masks_[i] = at(plan_.mask_buffers[i], 0);
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
        for (int64_t order = 0; order < call_.steps; order++) {
            backward_one(order);
            const int64_t step = step_at(call_.steps - 1 - order);
            if (rows.size() == 0) rows = {job_.offsets[step], job_.offsets[step]};
            rows = {smaller(rows.begin, job_.offsets[step]), larger(rows.end, job_.offsets[step + 1])};
            if (rows.size() < gradient_rows && order < call_.steps - 1) continue;
            wait();
            weight_gradients(rows, false);
            rows = {0, 0};
        }
        wait();
        input_phase(backward_input, {0, call_.rows});
        wait();
        weight_gradients({0, call_.rows}, true);
        clear_untouched();
        wait();
        if (thread_ == 0) write_sums();
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

    ViewAt<T> at(int64_t buffer, int64_t row) const {
        const Place &place = job_.buffers[buffer];
        return {reinterpret_cast<T *>(place.data) + row * lanes<T>, place.rows * lanes<T>};
    }

    // --- preparation

    void prepare() {
        if (thread_ == 0) prepare_small();
        const Phase first = job_.backward ? backward_step : forward_input;
        const Range kernels = {plan_.phase_begin[first], plan_.phase_begin[first + 2]};
        int64_t groups = 0;
        for (int64_t k = kernels.begin; k < kernels.end; k++) groups += group_count(plan_.kernels[k]);
        const Range own = part_of(groups, thread_, job_.threads);
        int64_t group = 0;
        for (int64_t k = kernels.begin; k < kernels.end; k++) {
            const Kernel &kernel = plan_.kernels[k];
            for (int64_t g = 0; g < group_count(kernel); g++, group++)
                if (group >= own.begin && group < own.end)
                    pack_group<T>(plan_, call_.weights, kernel, g, reinterpret_cast<T *>(job_.packs[k]));
        }
        finish_streaming();
        clear_sums();
    }

    int64_t group_count(const Kernel &kernel) const {
        return kernel.product_count == 0 ? 0 : (blocks_of<T>(kernel.size) + kernel.group - 1) / kernel.group;
    }

    void prepare_small() {
        for (int64_t w = 0; w < plan_.weight_count; w++) {
            if (plan_.weights[w].rank != 1) continue;
            const int64_t size = plan_.weights[w].rows;
            T *to = reinterpret_cast<T *>(job_.vectors[w]);
            const T *from = static_cast<const T *>(call_.weights[w]);
            if (from == nullptr) clear_rows<T>(1, 0, blocks_of<T>(size), to, lanes<T>);
            else scatter_rows<T>(from, size, 1, 0, blocks_of<T>(size), to, lanes<T>);
        }
        for (int64_t i = 0; i < 2; i++) {
            if (plan_.mask_buffers[i] < 0) continue;
            const int64_t size = plan_.buffers[plan_.mask_buffers[i]].size;
            scatter_rows<T>(static_cast<const T *>(call_.masks[i]), size, call_.batch, 0, blocks_of<T>(size),
                            masks_[i].data, masks_[i].stride);
        }
    }

    void clear_sums() {
        if (!job_.backward) return;
        for (int64_t w = 0; w < plan_.weight_count; w++) {
            memory_.scalars[w] = 0;
            memory_.touched[w] = 0;
            if (memory_.vectors[w] != nullptr)
                clear_rows<T>(1, 0, blocks_of<T>(plan_.weights[w].rows), reinterpret_cast<T *>(memory_.vectors[w]),
                              lanes<T>);
        }
        for (int64_t i = 0; i < plan_.parameter_count; i++) memory_.parameters[i] = 0;
    }

    // --- phases

    // All rows at once: rows are shared out, and go through all kernels in chunks that stay in the cache.
    void input_phase(Phase phase, Range rows) {
        const Range own = part_of(rows.size(), thread_, job_.threads);
        constexpr int64_t most = 16 * tile_rows;
        const int64_t chunks = (own.size() + most - 1) / most;
        for (int64_t i = 0; i < chunks; i++) {
            const Range part = part_of(own.size(), i, chunks);
            const Range chunk = {own.begin + part.begin, own.begin + part.end};
            if (phase == forward_input) read_inputs(rows.begin, chunk);
            packed_row_ = rows.begin;
            is_step_ = false;
            for (int64_t v = 0; v < plan_.view_count; v++)
                if (plan_.views[v].kind == ViewKind::rows) views_[v] = at(plan_.views[v].buffer, 0);
            for (int64_t k = plan_.phase_begin[phase]; k < plan_.phase_begin[phase + 1]; k++)
                run_kernel(k, {0, blocks_of<T>(plan_.kernels[k].size)}, chunk);
        }
    }

    void read_inputs(int64_t base, Range rows) {
        for (int64_t b = 0; b < plan_.buffer_count; b++) {
            if (plan_.buffers[b].kind != BufferKind::input) continue;
            const ViewAt<T> to = at(b, rows.begin);
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

    void backward_one(int64_t backward_order) {
        const int64_t order = call_.steps - 1 - backward_order;
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
        return at(plan_.state_buffers[state], row);
    }

    // Its gradient.
    ViewAt<T> carry_at(int64_t state, int64_t order) const {
        return at(plan_.carry_buffers[state], (order % 2) * call_.batch);
    }

    void point_views(int64_t order) {
        const int64_t step = step_at(order);
        step_ = step;
        packed_row_ = job_.offsets[step];
        is_step_ = true;
        for (int64_t v = 0; v < plan_.view_count; v++) {
            const View &view = plan_.views[v];
            const Buffer &buffer = plan_.buffers[view.buffer];
            const bool all = buffer.kind == BufferKind::all || buffer.kind == BufferKind::input;
            switch (view.kind) {
                case ViewKind::rows: views_[v] = at(view.buffer, all ? packed_row_ - chunk_row_ : 0); break;
                case ViewKind::state_in: views_[v] = state_at(buffer.index, order); break;
                case ViewKind::state_out: views_[v] = state_at(buffer.index, order + 1); break;
                case ViewKind::carry_in:
                    if (job_.backward) views_[v] = carry_at(buffer.index, order + 1);
                    break;
                case ViewKind::carry_out:
                    if (job_.backward) views_[v] = carry_at(buffer.index, order);
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
                run_kernel(k, share.blocks, part_of(batch, share.row_index, share.row_parts));
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
                    normalise<T>(views_, kernel.norm_views, block, batch, moments_of(kernel), kernel.size);
                else
                    normalise_backward<T>(views_, kernel.norm_views, block, batch);
            }
        if (shares_rows_) wait();
    }

    // Where the mean and variance of this step go, or null.
    T *moments_of(const Kernel &norm) const {
        if (call_.norm_statistics == nullptr) return nullptr;
        int64_t before = 0;
        for (const Kernel *kernel = plan_.kernels + plan_.phase_begin[forward_step]; kernel < &norm; kernel++)
            before += kernel->norm == NormKind::forward;
        return static_cast<T *>(call_.norm_statistics) + (before * call_.steps + step_) * 2 * norm.size;
    }

    // --- kernels

    void run_kernel(int64_t index, Range blocks, Range rows) {
        const Kernel &kernel = plan_.kernels[index];
        if (rows.size() <= 0) return;
        const T *pack = reinterpret_cast<const T *>(job_.packs[index]);
        const int64_t tiles = (rows.size() + tile_rows - 1) / tile_rows;
        for (int64_t block = blocks.begin; block < blocks.end; block += kernel.group) {
            const int64_t width = smaller(kernel.group, blocks.end - block);
            const T *panels = pack + block / kernel.group * group_numbers<T>(kernel);
            for (int64_t tile = 0; tile < tiles; tile += super_blocks) {
                const int64_t tiles_here = smaller(super_blocks, tiles - tile);
                const Range part = {rows.begin + rows.size() * tile / tiles,
                                    rows.begin + rows.size() * (tile + tiles_here) / tiles};
                multiply_all(kernel, panels, block, width, part, tiles_here, tiles);
                for (int64_t b = 0; b < width; b++) run_program(kernel, block + b, b, part);
            }
        }
    }

    T *register_at(const Kernel &kernel, int64_t member, int64_t number) const {
        return registers_ + (member * kernel.registers + number) * super_rows * lanes<T>;
    }

    void multiply_all(const Kernel &kernel, const T *panels, int64_t block, int64_t width, Range rows, int64_t tiles,
                      int64_t all_tiles) {
        const int64_t count = kernel.group == 1 ? 2 : width;
        for (int64_t i = 0; i < kernel.product_count; i++) {
            const Product &product = kernel.products[i];
            const ViewAt<T> &source = views_[product.source];
            ProductCall<T> call{};
            call.depth = product.depth;
            call.stride = source.stride;
            call.panel = panels;
            // The panels of the next group lie behind this group's, those of the next kernel behind this kernel's.
            const int64_t lines = product.depth * count * vector_bytes / 64;
            call.ahead_lines = lines / all_tiles / larger(1, product.depth / lanes<T>) + 1;
            const char *ahead = reinterpret_cast<const char *>(panels + group_numbers<T>(kernel));
            for (int64_t t = 0; t < tiles; t++) {
                const int64_t row = rows.begin + rows.size() * t / tiles;
                const int64_t end = rows.begin + rows.size() * (t + 1) / tiles;
                call.source = source.data + row * lanes<T>;
                call.ahead = ahead + t * (lines / all_tiles) * 64;
                for (int64_t p = 0; p < count; p++) {
                    const Product::Panel &panel = product.panels[p];
                    const int64_t member = kernel.group == 1 ? 0 : p;
                    T *target = register_at(kernel, member, panel.target) + (row - rows.begin) * lanes<T>;
                    start(call, p, panel, target, block + member, row);
                    call.result[p] = target;
                }
                (count == 2 ? multiply_of<T, 2>(end - row) : multiply_of<T, 1>(end - row))(call);
            }
            panels += product.depth * count * lanes<T>;
        }
    }

    void start(ProductCall<T> &call, int64_t p, const Product::Panel &panel, const T *target, int64_t block,
               int64_t row) const {
        alignas(vector_bytes) static constexpr T zeros[lanes<T>] = {};
        call.step[p] = lanes<T>;
        switch (panel.init) {
            case Init::accumulate: call.initial[p] = target; break;
            case Init::zero:
                call.initial[p] = zeros;
                call.step[p] = 0;
                break;
            case Init::view: {
                const ViewAt<T> &view = views_[panel.index];
                call.initial[p] = view.data + block * view.stride + row * lanes<T>;
                break;
            }
            case Init::vector:
                call.initial[p] = reinterpret_cast<const T *>(job_.vectors[panel.index]) + block * lanes<T>;
                call.step[p] = 0;
                break;
        }
    }

    void run_program(const Kernel &kernel, int64_t block, int64_t member, Range rows) {
        Frame<T> frame{};
        frame.job = &job_;
        frame.memory = &memory_;
        frame.views = views_;
        frame.registers = register_at(kernel, member, 0);
        frame.register_numbers = super_rows * lanes<T>;
        frame.size = kernel.size;
        frame.block = block;
        frame.row = rows.begin;
        frame.rows = rows.size();
        frame.packed_row = packed_row_;
        frame.masks = masks_;
        frame.is_step = is_step_;
        for (int64_t i = 0; i < kernel.instruction_count; i++) run_instruction(frame, kernel.instructions[i]);
    }

    // --- gradients

    // As soon as enough rows are through, while they are in the cache; those of deltas that the input phase writes wait.
    void weight_gradients(Range rows, bool late) {
        for (int64_t i = 0; i < plan_.gradient_count; i++) {
            const WeightGradient &item = plan_.gradients[i];
            T *gradient = static_cast<T *>(call_.grad_weights[item.weight]);
            if (gradient == nullptr || item.late != late) continue;
            const Weight &weight = plan_.weights[item.weight];
            const ViewAt<T> delta = at(plan_.views[item.delta].buffer, 0);
            const ViewAt<T> from = at(plan_.views[item.source].buffer, 0);
            GradientSource<T> source{from.data, from.stride, nullptr, 0, job_.row_of, reinterpret_cast<T *>(memory_.masked)};
            if (item.mask >= 0) {
                source.mask = masks_[item.mask].data;
                source.mask_stride = masks_[item.mask].stride;
            }
            const Range blocks = part_of(blocks_of<T>(weight.rows), thread_, job_.threads);
            char &touched = memory_.touched[item.weight];
            add_weight_gradient<T>(weight, delta.data, delta.stride, source, rows.begin, rows.end, blocks.begin,
                                   blocks.end, gradient, touched == 0);
            touched |= rows.size() > 0;
        }
    }

    void clear_untouched() {
        for (int64_t w = 0; w < plan_.weight_count; w++)
            if (plan_.weights[w].rank == 2 && call_.grad_weights[w] != nullptr && memory_.touched[w] == 0)
                clear_gradient(w);
    }

    void clear_gradient(int64_t index) {
        const Weight &weight = plan_.weights[index];
        const Range blocks = part_of(blocks_of<T>(weight.rows), thread_, job_.threads);
        const int64_t begin = smaller(weight.rows, blocks.begin * lanes<T>);
        const int64_t end = smaller(weight.rows, blocks.end * lanes<T>);
        T *gradient = static_cast<T *>(call_.grad_weights[index]);
        __builtin_memset(gradient + begin * weight.columns, 0, std::size_t((end - begin) * weight.columns) * sizeof(T));
    }

    // In the order of threads, so that the same number of threads gives the same result.
    void write_sums() {
        for (int64_t w = 0; w < plan_.weight_count; w++) {
            T *gradient = static_cast<T *>(call_.grad_weights[w]);
            if (gradient == nullptr || plan_.weights[w].rank == 2) continue;
            const int64_t size = plan_.weights[w].rank == 1 ? plan_.weights[w].rows : 1;
            for (int64_t i = 0; i < size; i++) {
                double sum = 0;
                for (int64_t t = 0; t < job_.threads; t++)
                    sum += plan_.weights[w].rank == 1 ? double(reinterpret_cast<T *>(job_.memory[t].vectors[w])[i])
                                                      : job_.memory[t].scalars[w];
                gradient[i] = T(sum);
            }
        }
        T *gradient = static_cast<T *>(call_.grad_parameters);
        if (gradient == nullptr) return;
        for (int64_t i = 0; i < plan_.parameter_count; i++) {
            double sum = 0;
            for (int64_t t = 0; t < job_.threads; t++) sum += job_.memory[t].parameters[i];
            gradient[i] = T(sum);
        }
    }

    const Job &job_;
    const Plan &plan_;
    const cellzoo_call &call_;
    const int64_t thread_;
    const ThreadMemory &memory_;
    T *registers_;
    ViewAt<T> *views_;
    ViewAt<T> masks_[2] = {};
    int64_t chunk_row_ = 0;   // packed row of row 0 of buffers of all rows
    int64_t packed_row_ = 0;  // of row 0 of the views
    int64_t step_ = 0;
    bool is_step_ = false;
    bool shares_rows_ = false;  // between threads, for some size
};

template <class T>
void run_walk(const Job &job, int64_t thread) {
    Walk<T> walk(job, thread);
    if (job.backward) walk.backward();
    else walk.forward();
}

constexpr Engine make_engine() {
    return {{lanes<float>, lanes<double>}, tile_rows, super_rows, {run_walk<float>, run_walk<double>}};
}

}  // namespace
}  // namespace cellzoo
