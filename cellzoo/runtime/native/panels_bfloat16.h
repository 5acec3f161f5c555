// Weights, rounded to bfloat16, into the panels that the microkernel reads: of each two units of the source one row.
#pragma once

#include "bfloat16.h"
#include "transpose.h"

namespace cellzoo {
namespace {

// Columns `unit` and on of W^T: rows of W, (rows, columns), become columns of the panel.
template <class T>
void pack_transposition(const T *weight, int64_t rows, int64_t columns, int64_t unit, uint16_t *panel,
                        int64_t stride) {
    const int64_t count = smaller(lanes<T>, rows - unit);
    for (int64_t k = 0; k < columns; k += tile_depth) {
        Vector<T> square[lanes<T>];
        for (int64_t i = 0; i < lanes<T>; i++) {
            const T *from = weight + (unit + i) * columns + k;
            const int64_t width = i < count ? columns - k : 0;
            square[i] = (Vector<T>)round_both(load_first(from, width), load_first(from + lanes<T>, width - lanes<T>));
        }
        transpose<T>(square);
        for (int64_t i = 0; i < lanes<T>; i++, panel += stride) _mm512_stream_si512((__m512i *)panel, (__m512i)square[i]);
    }
}

// Columns `unit` and on of W.
template <class T>
void pack_columns(const T *weight, int64_t rows, int64_t columns, int64_t unit, uint16_t *panel, int64_t stride) {
    const int64_t count = columns - unit;
    for (int64_t k = 0; k < packed_depth(rows); k += 2, panel += stride) {
        const T *from = weight + k * columns + unit;
        const __m512 even = load_first(from, k < rows ? count : 0);
        const __m512 odd = load_first(from + columns, k + 1 < rows ? count : 0);
        _mm512_stream_si512((__m512i *)panel, round_in_turn(even, odd));
    }
}

}  // namespace
}  // namespace cellzoo
