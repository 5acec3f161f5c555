// Accumulates the gradients of all weight matrices with AMX. Each bfloat16 panel is made once for all its products.
#pragma once

#include "gradient_amx.h"
#include "program.h"
#include "share.h"

namespace cellzoo {
namespace {

// Accumulates at most `gradient_rows` packed rows.
inline void add_panel_gradients(const Position<float> &at, Range rows, bool late) {
    const Plan &plan = *at.job.plan;
    const int64_t panel = padded_rows_of(rows.size()) * lanes<float>;
    uint16_t *const panels = reinterpret_cast<uint16_t *>(at.memory.panels);
    // Converts the given unit blocks of a view into panels, unless that is done.
    const auto round = [&](auto function, int64_t view, int64_t place, Range blocks, int64_t mask) {
        char &done = at.memory.panels_done[place];
        if (done) return;
        done = 1;
        const ViewAt<float> from = buffer_at<float>(at.job, plan.views[view].buffer, rows.begin);
        for (int64_t block = blocks.begin; block < blocks.end; block++) {
            PanelSource source{from.data + block * from.stride, rows.size(), nullptr, nullptr};
            if (mask >= 0) {
                source.mask = at.masks[mask].data + block * at.masks[mask].stride;
                source.row_of = at.job.row_of + rows.begin;
            }
            function(source, panels + (place + block) * panel);
        }
    };
    for (int64_t i = 0; i < plan.panel_blocks; i++) at.memory.panels_done[i] = 0;
    for (int64_t i = 0; i < plan.gradient_count; i++) {
        const WeightGradient &item = plan.gradients[i];
        float *gradient = static_cast<float *>(at.job.call->grad_weights[item.weight]);
        if (gradient == nullptr || item.late != late) continue;
        const Weight &weight = plan.weights[item.weight];
        const Range own = part_of(blocks_of<float>(weight.rows), at.part, at.job.parts());
        round(round_delta, item.delta, item.delta_place, own, -1);
        round(round_source, item.source, item.source_place, {0, blocks_of<float>(weight.columns)}, item.mask);
        char &touched = at.memory.touched[item.weight];
        add_weight_gradient(weight, panels + item.delta_place * panel, panels + item.source_place * panel, rows.size(),
                            own.begin, own.end, gradient, touched == 0);
        touched = 1;
    }
}

// Accumulates the packed rows `rows` into the weight gradients whose `late` is as given.
template <class T>
void add_weight_gradients(const Position<T> &at, Range rows, bool late) {
    const int64_t parts = (rows.size() + gradient_rows - 1) / gradient_rows;
    if (parts > 0) configure_tiles(rows_of_tile, rows_of_tile);
    for (int64_t i = 0; i < parts; i++) {
        const Range part = part_of(rows.size(), i, parts);
        add_panel_gradients(at, {rows.begin + part.begin, rows.begin + part.end}, late);
    }
}

}  // namespace
}  // namespace cellzoo
