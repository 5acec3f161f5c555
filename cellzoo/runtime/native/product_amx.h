// The micro-kernel of matrix products with AMX: up to two tiles of rows times one or two packed weight panels, all in
// bfloat16, with float32 sums. The result of a row does not depend on the rows computed together with it.
#pragma once

#include "product_call.h"
#include "tiles.h"

namespace cellzoo {
namespace {

// The tiles must be configured for the number of rows. With `splits` factors have two terms each; of the four products
// of terms, that of both residuals is left out, as it is below the precision of float32.
template <int tiles, int panels, bool splits>
__attribute__((noinline)) void multiply_tiles(const ProductCall<float> &call) {
    constexpr int64_t next_tile = rows_of_tile * lanes<float>, next_rows = rows_of_tile * tile_depth;
    constexpr int64_t next_panel = packed_lanes<float>, panel_bytes = panels * vector_bytes;
    const int64_t steps[2] = {call.step[0] * 4, call.step[1] * 4};
    order_memory();
    _tile_loadd(0, call.initial[0], steps[0]);
    if (panels == 2) _tile_loadd(1, call.initial[1], steps[1]);
    if (tiles == 2) _tile_loadd(2, call.initial[0] + rows_of_tile * call.step[0], steps[0]);
    if (tiles == 2 && panels == 2) _tile_loadd(3, call.initial[1] + rows_of_tile * call.step[1], steps[1]);
    const auto multiply = [&](const uint16_t *source, const uint16_t *panel) __attribute__((always_inline)) {
        _tile_loadd(4, source, 64);
        _tile_loadd(6, panel, panel_bytes);
        _tile_dpbf16ps(0, 4, 6);
        if (panels == 2) {
            _tile_loadd(7, panel + next_panel, panel_bytes);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (tiles == 2) {
            _tile_loadd(5, source + next_rows, 64);
            _tile_dpbf16ps(2, 5, 6);
            if (panels == 2) _tile_dpbf16ps(3, 5, 7);
        }
    };
    const uint16_t *source = call.source, *panel = call.panel;
    const char *ahead = call.ahead;
    for (int64_t k = 0; k < call.depth; k += tile_depth) {
        for (int64_t i = 0; i < call.ahead_lines; i++, ahead += 64) __builtin_prefetch(ahead, 0, 2);
        multiply(source, panel);
        if (splits) multiply(source + call.source_residuals, panel);
        if (splits) multiply(source, panel + call.panel_residuals);
        source += call.stride;
        panel += tile_depth / 2 * panels * next_panel;
    }
    _tile_stored(0, call.result[0], 64);
    if (panels == 2) _tile_stored(1, call.result[1], 64);
    if (tiles == 2) _tile_stored(2, call.result[0] + next_tile, 64);
    if (tiles == 2 && panels == 2) _tile_stored(3, call.result[1] + next_tile, 64);
    order_memory();
}

template <class T>
using Multiply = void (*)(const ProductCall<T> &);

template <class T, int panels>
Multiply<T> multiply_of(const ProductCall<T> &call, int64_t rows) {
    if (rows > rows_of_tile) return call.splits ? multiply_tiles<2, panels, true> : multiply_tiles<2, panels, false>;
    return call.splits ? multiply_tiles<1, panels, true> : multiply_tiles<1, panels, false>;
}

}  // namespace
}  // namespace cellzoo
