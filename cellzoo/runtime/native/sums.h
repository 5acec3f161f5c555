// Gradients that are sums over rows: of vectors, scalars and mixture parameters. Each part has partial sums.
#pragma once

#include "pack.h"
#include "program.h"

namespace cellzoo {
namespace {

template <class T>
void clear_sums(const Job &job, const PartMemory &memory) {
    const Plan &plan = *job.plan;
    for (int64_t w = 0; w < plan.weight_count; w++) {
        memory.scalars[w] = 0;
        memory.touched[w] = 0;
        if (memory.vectors[w] != nullptr)
            clear_rows<T>(1, 0, blocks_of<T>(plan.weights[w].rows), reinterpret_cast<T *>(memory.vectors[w]), lanes<T>);
    }
    for (int64_t i = 0; i < plan.parameter_count; i++) memory.parameters[i] = 0;
}

// Adds up the partial sums, in the order of the parts, so that the result is deterministic.
template <class T>
void write_sums(const Job &job) {
    const Plan &plan = *job.plan;
    for (int64_t w = 0; w < plan.weight_count; w++) {
        T *gradient = static_cast<T *>(job.call->grad_weights[w]);
        if (gradient == nullptr || plan.weights[w].rank == 2) continue;
        const int64_t size = plan.weights[w].rank == 1 ? plan.weights[w].rows : 1;
        for (int64_t i = 0; i < size; i++) {
            double sum = 0;
            for (int64_t t = 0; t < job.parts(); t++)
                sum += plan.weights[w].rank == 1 ? double(reinterpret_cast<T *>(job.memory[t].vectors[w])[i])
                                                  : job.memory[t].scalars[w];
            gradient[i] = T(sum);
        }
    }
    T *gradient = static_cast<T *>(job.call->grad_parameters);
    if (gradient == nullptr) return;
    for (int64_t i = 0; i < plan.parameter_count; i++) {
        double sum = 0;
        for (int64_t t = 0; t < job.parts(); t++) sum += job.memory[t].parameters[i];
        gradient[i] = T(sum);
    }
}

}  // namespace
}  // namespace cellzoo
