// The first phase of a call: packs weights into panels, and copies vectors and masks to the blocked layout.
#pragma once

#include "pack.h"
#include "program.h"
#include "share.h"

namespace cellzoo {
namespace {

template <class T>
int64_t group_count(const Kernel &kernel) {
    return kernel.product_count == 0 ? 0 : (blocks_of<T>(kernel.size) + kernel.group - 1) / kernel.group;
}

// Packs this part's share of the groups of all kernels of the call's direction.
template <class T>
void pack_weights(const Job &job, int64_t part) {
    const Plan &plan = *job.plan;
    const Phase first = job.backward ? backward_step : forward_input;
    const Range kernels = {plan.phase_begin[first], plan.phase_begin[first + 2]};
    int64_t groups = 0;
    for (int64_t k = kernels.begin; k < kernels.end; k++) groups += group_count<T>(plan.kernels[k]);
    const Range own = part_of(groups, part, job.parts());
    int64_t group = 0;
    for (int64_t k = kernels.begin; k < kernels.end; k++) {
        const Kernel &kernel = plan.kernels[k];
        for (int64_t g = 0; g < group_count<T>(kernel); g++, group++)
            if (job.packs[k] != nullptr && group >= own.begin && group < own.end)
                pack_group<T>(job, kernel, g, reinterpret_cast<Packed<T> *>(job.packs[k]));
    }
    finish_streaming();
}

template <class T>
void block_vectors(const Job &job) {
    const Plan &plan = *job.plan;
    for (int64_t w = 0; w < plan.weight_count; w++) {
        if (plan.weights[w].rank != 1) continue;
        const int64_t size = plan.weights[w].rows;
        T *to = reinterpret_cast<T *>(job.vectors[w]);
        const T *from = static_cast<const T *>(job.call->weights[w]);
        if (from == nullptr) clear_rows<T>(1, 0, blocks_of<T>(size), to, lanes<T>);
        else scatter_rows<T>(from, size, 1, 0, blocks_of<T>(size), to, lanes<T>);
    }
}

template <class T>
void block_masks(const Job &job) {
    const Plan &plan = *job.plan;
    for (int64_t i = 0; i < 2; i++) {
        if (plan.mask_buffers[i] < 0) continue;
        const int64_t size = plan.buffers[plan.mask_buffers[i]].size;
        const ViewAt<T> to = buffer_at<T>(job, plan.mask_buffers[i], 0);
        scatter_rows<T>(static_cast<const T *>(job.call->masks[i]), size, job.call->batch, 0, blocks_of<T>(size),
                        to.data, to.stride);
    }
}

}  // namespace
}  // namespace cellzoo
