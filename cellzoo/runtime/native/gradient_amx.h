// Gradients of weight matrices with AMX: delta^T @ source over rows, both in bfloat16, with float32 sums.
#pragma once

#include "bfloat16.h"
#include "job.h"
#include "tiles.h"
#include "transpose.h"

namespace cellzoo {
namespace {

constexpr int64_t padded_rows_of(int64_t rows) { return padded_depth_of(rows); }

// The input of a panel: rows of one unit block, multiplied by a mask if that is not null.
struct PanelSource {
    const float *data;  // row 0 of the panel
    int64_t rows;
    const float *mask;
    const int32_t *row_of;  // row -> row of the mask

    __m512 operator[](int64_t row) const {
        if (row >= rows) return _mm512_setzero_ps();
        const __m512 value = _mm512_load_ps(data + row * lanes<float>);
        return mask == nullptr ? value : value * _mm512_load_ps(mask + row_of[row] * lanes<float>);
    }
    __m512i pair(int64_t row) const { return interleave_halves(round_both((*this)[row], (*this)[row + 1])); }
};

// Converts to [pair of rows][unit][2], the layout of the second factor of a tile product.
inline void round_source(const PanelSource &from, uint16_t *to) {
    for (int64_t row = 0; row < padded_rows_of(from.rows); row += 2, to += packed_lanes<float>)
        _mm512_store_si512(to, from.pair(row));
}

// Converts to [block of 32 rows][unit][32], the layout of the first factor.
inline void round_delta(const PanelSource &from, uint16_t *to) {
    for (int64_t row = 0; row < padded_rows_of(from.rows); row += tile_depth) {
        Vector<float> pairs[lanes<float>];
        for (int64_t i = 0; i < lanes<float>; i++) pairs[i] = (Vector<float>)from.pair(row + 2 * i);
        transpose<float>(pairs);
        for (int64_t i = 0; i < lanes<float>; i++, to += packed_lanes<float>)
            _mm512_store_si512(to, (__m512i)pairs[i]);
    }
}

struct TileGradient {
    const uint16_t *delta[2], *source[2];  // panels of up to two unit blocks each
    float *sum[2][2];                      // by delta and source
    int64_t row_bytes[2][2];               // row stride of the sums
    int64_t rows;                          // padded
    bool fresh;                            // overwrite the sums instead of adding to them
};

// For whole tiles of 16 x 16 sums.
template <int units, int columns>
__attribute__((noinline)) void add_tiles(const TileGradient &at) {
    order_memory();
    if (at.fresh) {
        _tile_zero(0);
        if (columns == 2) _tile_zero(1);
        if (units == 2) _tile_zero(2);
        if (units == 2 && columns == 2) _tile_zero(3);
    } else {
        _tile_loadd(0, at.sum[0][0], at.row_bytes[0][0]);
        if (columns == 2) _tile_loadd(1, at.sum[0][1], at.row_bytes[0][1]);
        if (units == 2) _tile_loadd(2, at.sum[1][0], at.row_bytes[1][0]);
        if (units == 2 && columns == 2) _tile_loadd(3, at.sum[1][1], at.row_bytes[1][1]);
    }
    for (int64_t i = 0; i < at.rows * rows_of_tile; i += tile_depth * rows_of_tile) {
        _tile_loadd(4, at.delta[0] + i, 64);
        _tile_loadd(6, at.source[0] + i, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (columns == 2) {
            _tile_loadd(7, at.source[1] + i, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (units == 2) {
            _tile_loadd(5, at.delta[1] + i, 64);
            _tile_dpbf16ps(2, 5, 6);
            if (columns == 2) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, at.sum[0][0], at.row_bytes[0][0]);
    if (columns == 2) _tile_stored(1, at.sum[0][1], at.row_bytes[0][1]);
    if (units == 2) _tile_stored(2, at.sum[1][0], at.row_bytes[1][0]);
    if (units == 2 && columns == 2) _tile_stored(3, at.sum[1][1], at.row_bytes[1][1]);
    order_memory();
}

// Accumulates the unit blocks [first, last) of a gradient, from the contiguous panels of its unit and column blocks.
inline void add_weight_gradient(const Weight &weight, const uint16_t *delta, const uint16_t *source, int64_t rows,
                                int64_t first, int64_t last, float *gradient, bool fresh) {
    constexpr int64_t side = lanes<float>;
    alignas(64) float edges[2][2][side * side];
    TileGradient at{};
    at.rows = padded_rows_of(rows);
    at.fresh = fresh;
    const int64_t panel = at.rows * side, source_blocks = blocks_of<float>(weight.columns);
    for (int64_t column = 0; column < source_blocks; column += 2)
        for (int64_t unit = first; unit < last; unit += 2) {
            const int64_t columns = smaller(2, source_blocks - column), units = smaller(2, last - unit);
            // Partial tiles at the edges go through a temporary.
            const auto each = [&](auto function) {
                for (int64_t u = 0; u < units; u++)
                    for (int64_t c = 0; c < columns; c++) {
                        const int64_t row = (unit + u) * side, number = (column + c) * side;
                        const int64_t height = smaller(side, weight.rows - row);
                        const int64_t width = smaller(side, weight.columns - number);
                        float *to = gradient + row * weight.columns + number;
                        function(u, c, to, height, width, height == side && width == side);
                    }
            };
            each([&](int64_t u, int64_t c, float *to, int64_t height, int64_t width, bool whole) {
                at.sum[u][c] = whole ? to : edges[u][c];
                at.row_bytes[u][c] = (whole ? weight.columns : side) * int64_t(sizeof(float));
                if (whole || fresh) return;
                for (int64_t i = 0; i < side; i++)
                    _mm512_store_ps(edges[u][c] + i * side,
                                    load_first(to + i * weight.columns, i < height ? width : 0));
            });
            for (int64_t u = 0; u < units; u++) at.delta[u] = delta + (unit + u) * panel;
            for (int64_t c = 0; c < columns; c++) at.source[c] = source + (column + c) * panel;
            (units == 2 ? (columns == 2 ? add_tiles<2, 2> : add_tiles<2, 1>)
                        : (columns == 2 ? add_tiles<1, 2> : add_tiles<1, 1>))(at);
            each([&](int64_t u, int64_t c, float *to, int64_t height, int64_t width, bool whole) {
                for (int64_t i = 0; !whole && i < height; i++)
                    store_part<float>(to + i * weight.columns, load(edges[u][c] + i * side), width);
            });
        }
}

}  // namespace
}  // namespace cellzoo
