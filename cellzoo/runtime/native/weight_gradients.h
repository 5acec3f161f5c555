// Accumulates the gradients of all weight matrices. Each part owns a range of their rows.
#pragma once

#if defined(CELLZOO_BFLOAT16)
#include "weight_gradients_amx.h"
#else
#include "gradient.h"
#endif
#include "program.h"
#include "share.h"

namespace cellzoo {
namespace {

#if !defined(CELLZOO_BFLOAT16)
// Accumulates the packed rows `rows` into the weight gradients whose `late` is as given.
template <class T>
void add_weight_gradients(const Position<T> &at, Range rows, bool late) {
    const Plan &plan = *at.job.plan;
    for (int64_t i = 0; i < plan.gradient_count; i++) {
        const WeightGradient &item = plan.gradients[i];
        T *gradient = static_cast<T *>(at.job.call->grad_weights[item.weight]);
        if (gradient == nullptr || item.late != late) continue;
        const Weight &weight = plan.weights[item.weight];
        const ViewAt<T> delta = buffer_at<T>(at.job, plan.views[item.delta].buffer, 0);
        const ViewAt<T> from = buffer_at<T>(at.job, plan.views[item.source].buffer, 0);
        GradientSource<T> source{from.data, from.stride, nullptr, 0, at.job.row_of, nullptr};
        if (item.mask >= 0) {
            source.mask = at.masks[item.mask].data;
            source.mask_stride = at.masks[item.mask].stride;
            source.masked = reinterpret_cast<T *>(at.memory.masked);
        }
        const Range blocks = part_of(blocks_of<T>(weight.rows), at.part, at.job.parts());
        char &touched = at.memory.touched[item.weight];
        add_weight_gradient<T>(weight, delta.data, delta.stride, source, rows.begin, rows.end, blocks.begin,
                               blocks.end, gradient, touched == 0);
        touched |= rows.size() > 0;
    }
}
#endif

// Writes zeros to gradients that no row was added to.
template <class T>
void clear_untouched_gradients(const Position<T> &at) {
    const Plan &plan = *at.job.plan;
    for (int64_t w = 0; w < plan.weight_count; w++) {
        const Weight &weight = plan.weights[w];
        T *gradient = static_cast<T *>(at.job.call->grad_weights[w]);
        if (weight.rank != 2 || gradient == nullptr || at.memory.touched[w] != 0) continue;
        const Range blocks = part_of(blocks_of<T>(weight.rows), at.part, at.job.parts());
        const int64_t end = smaller(weight.rows, blocks.end * lanes<T>) * weight.columns;
        for (int64_t i = blocks.begin * lanes<T> * weight.columns; i < end; i++) gradient[i] = 0;
    }
}

}  // namespace
}  // namespace cellzoo
