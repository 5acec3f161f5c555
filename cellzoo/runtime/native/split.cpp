#include "split.h"

#include <algorithm>
#include <numeric>

namespace cellzoo {
namespace {

// The cost model, from measurements.
constexpr double operations_per_us = 1e5;  // with vectors of 16 numbers
constexpr double bfloat16_gain = 3;
constexpr double instruction_operations = 8;  // of an elementwise instruction, for each unit
// Reading the weights takes as long as multiplying so many rows by them.
constexpr int64_t weight_rows = 3;
constexpr double wake_us = 30, barrier_us = 1.5;
// Splitting must reduce the estimated time to this fraction, as other processes may need the processors, too.
constexpr double most_time = 0.75;
// Minimum rows of an input phase in inference. If rows are split it takes more of them to balance the parts.
constexpr int64_t least_segment_rows = 512, least_split_segment_rows = 4096;

int64_t step_at(const cellzoo_call &call, int64_t order) { return call.reverse ? call.steps - 1 - order : order; }

// For each row of the batch, the number of steps in [from, to) at which it is active.
std::vector<int64_t> lengths_of(const cellzoo_call &call, int64_t from, int64_t to) {
    std::vector<int64_t> lengths(size_t(call.batch), 0);
    int64_t row = call.batch;
    for (int64_t t = from; t < to; t++)
        for (; row > call.batch_sizes[t]; row--) lengths[size_t(row - 1)] = t - from;
    for (; row > 0; row--) lengths[size_t(row - 1)] = to - from;
    return lengths;
}

// Bounds of `parts` runs of rows. Each run takes at most time `most`, in rows times steps, except the last.
std::vector<int64_t> runs_within(const std::vector<int64_t> &lengths, int64_t most, int64_t parts) {
    std::vector<int64_t> bounds{0};
    const int64_t rows = int64_t(lengths.size());
    int64_t row = 0;
    while (int64_t(bounds.size()) < parts) {
        const int64_t first = row;
        for (int64_t time = 0; row < rows; row++) {
            time += (row == first ? weight_rows + 1 : 1) * lengths[size_t(row)];
            if (time > most) break;
        }
        bounds.push_back(row);
    }
    bounds.push_back(rows);
    return bounds;
}

int64_t time_of(const std::vector<int64_t> &lengths, int64_t begin, int64_t end) {
    if (begin >= end) return 0;
    const int64_t first = weight_rows * lengths[size_t(begin)];
    return std::accumulate(lengths.begin() + begin, lengths.begin() + end, first);
}

struct Runs {
    std::vector<int64_t> bounds;
    int64_t time;  // of the longest run
};

// Runs of rows that take about the same time; binary search for the smallest maximum.
Runs even_runs(const std::vector<int64_t> &lengths, int64_t parts) {
    const int64_t rows = int64_t(lengths.size());
    int64_t low = 0, high = time_of(lengths, 0, rows);
    const auto longest = [&](const std::vector<int64_t> &bounds) {
        int64_t time = 0;
        for (size_t i = 0; i + 1 < bounds.size(); i++)
            time = std::max(time, time_of(lengths, bounds[i], bounds[i + 1]));
        return time;
    };
    while (parts > 1 && high - low > 1 + high / 64) {
        const int64_t middle = low + (high - low) / 2;
        (longest(runs_within(lengths, middle, parts)) <= middle ? high : low) = middle;
    }
    Runs runs{runs_within(lengths, high, parts), 0};
    runs.time = longest(runs.bounds);
    return runs;
}

struct Work {
    double even = 0, step = 0;  // us per row: outside of the steps, which is always split evenly, and in a step
    int64_t barriers = 0;       // of a step if its units are split
    int64_t most_columns = 1;
    bool has_norms = false;
};

Work work_of(const Plan &plan, const cellzoo_call &call, const Engine &engine, bool backward) {
    Work work;
    const int64_t lanes = engine.lanes[call.dtype];
    const double speed = operations_per_us * double(lanes) / 16 * (engine.rounds ? bfloat16_gain : 1);
    const Phase first = backward ? backward_step : forward_input;
    const Phase steps = backward ? backward_step : forward_step;
    for (int64_t k = plan.phase_begin[first]; k < plan.phase_begin[first + 2]; k++) {
        const Kernel &kernel = plan.kernels[k];
        const double products = 2.0 * double(kernel.depth * (3 - kernel.group));
        const double time = double(kernel.size) *
                            (products + instruction_operations * double(kernel.instruction_count)) / speed;
        const bool in_step = k >= plan.phase_begin[steps] && k < plan.phase_begin[steps + 1];
        (in_step ? work.step : work.even) += time;
        if (!in_step) continue;
        work.barriers += kernel.barrier;
        work.has_norms |= kernel.norm != NormKind::none;
        work.most_columns = std::max(work.most_columns, (kernel.size + 2 * lanes - 1) / (2 * lanes));
    }
    for (int64_t i = 0; backward && i < plan.gradient_count; i++) {
        const Weight &weight = plan.weights[plan.gradients[i].weight];
        work.even += 2.0 * double(weight.rows) * double(weight.columns) / speed;
    }
    return work;
}

}  // namespace

Split::Split(const Plan &plan, const cellzoo_call &call, const Engine &engine, bool backward) {
    if (call.threads > 1 && call.batch > 0) choose(plan, call, engine, backward);
    const int64_t least = row_parts_ > 1 ? least_split_segment_rows : least_segment_rows;
    segment_rows_ = call.training || backward ? call.rows : std::min(call.rows, least - 1 + call.batch);
    cut(call);
}

void Split::choose(const Plan &plan, const cellzoo_call &call, const Engine &engine, bool backward) {
    const Work work = work_of(plan, call, engine, backward);
    const double rows = double(call.rows);
    const std::vector<int64_t> lengths = lengths_of(call, 0, call.steps);
    const double alone = work.even * rows + work.step * double(time_of(lengths, 0, call.batch));
    double best = most_time * alone;
    for (int64_t row_parts = 1; wake_us < best && row_parts <= std::min(call.threads, call.batch);) {
        const double walk = work.step * double(even_runs(lengths, row_parts).time);
        const int64_t most = std::min(call.threads / row_parts, work.most_columns);
        for (int64_t columns = 1; columns <= most;) {
            const double waits = columns > 1 ? barrier_us * double(work.barriers * call.steps) : 0;
            const double even = work.even * rows / double(row_parts * columns);
            const double time = wake_us + even + walk / double(columns) + waits;
            if (time < best && row_parts * columns > 1) {
                best = time;
                row_parts_ = row_parts;
                column_parts_ = columns;
            }
            columns = columns < most ? std::min(2 * columns, most) : most + 1;
        }
        if (work.has_norms) break;  // norms need all rows of a step
        const int64_t last = std::min(call.threads, call.batch);
        row_parts = row_parts < last ? std::min(2 * row_parts, last) : last + 1;
    }
}

void Split::cut(const cellzoo_call &call) {
    for (int64_t from = 0; from < call.steps;) {
        int64_t to = from, rows = 0;
        const int64_t least = row_parts_ > 1 ? least_split_segment_rows : least_segment_rows;
        while (to < call.steps && (call.training || rows < least)) rows += call.batch_sizes[step_at(call, to++)];
        const int64_t low = call.reverse ? step_at(call, to - 1) : from;
        const int64_t high = call.reverse ? step_at(call, from) : to - 1;
        segments_.push_back({from, to, low, high + 1});
        if (row_parts_ == 1) bounds_.insert(bounds_.end(), {0, call.batch});
        else {
            const Runs runs = even_runs(lengths_of(call, low, high + 1), row_parts_);
            bounds_.insert(bounds_.end(), runs.bounds.begin(), runs.bounds.end());
        }
        from = to;
    }
}

}  // namespace cellzoo
