// Packing of one weight into a panel of bfloat16, with one panel row for each two units of the source. Residuals go to
// a second panel if it is not null.
#pragma once

#include "bfloat16.h"
#include "transpose.h"

namespace cellzoo {
namespace {

inline void stream_row(uint16_t *to, __m512i row) { _mm512_stream_si512(reinterpret_cast<__m512i *>(to), row); }

// The columns of W^T from `unit` on: rows of W, (rows, columns), become columns of the panel.
template <class T>
void pack_transposition(const float *weight, int64_t rows, int64_t columns, int64_t unit, uint16_t *panel,
                        int64_t stride, uint16_t *residuals) {
    const int64_t count = smaller(lanes<float>, rows - unit);
    for (int64_t k = 0; k < columns; k += tile_depth) {
        Vector<float> rounded[lanes<float>], lost[lanes<float>];
        for (int64_t i = 0; i < lanes<float>; i++) {
            const float *from = weight + (unit + i) * columns + k;
            const int64_t width = i < count ? columns - k : 0;
            const __m512 first = load_first(from, width);
            const __m512 second = load_first(from + lanes<float>, width - lanes<float>);
            rounded[i] = (Vector<float>)round_both(first, second);
            if (residuals != nullptr) lost[i] = (Vector<float>)round_residuals(first, second, (__m512i)rounded[i]);
        }
        transpose<float>(rounded);
        for (int64_t i = 0; i < lanes<float>; i++, panel += stride) stream_row(panel, (__m512i)rounded[i]);
        if (residuals == nullptr) continue;
        transpose<float>(lost);
        for (int64_t i = 0; i < lanes<float>; i++, residuals += stride) stream_row(residuals, (__m512i)lost[i]);
    }
}

// The columns of W from `unit` on.
template <class T>
void pack_columns(const float *weight, int64_t rows, int64_t columns, int64_t unit, uint16_t *panel,
                  int64_t stride, uint16_t *residuals) {
    const int64_t count = columns - unit;
    for (int64_t k = 0; k < packed_depth(rows); k += 2, panel += stride) {
        const float *from = weight + k * columns + unit;
        const __m512 even = load_first(from, k < rows ? count : 0);
        const __m512 odd = load_first(from + columns, k + 1 < rows ? count : 0);
        const __m512i rounded = round_both(even, odd);
        stream_row(panel, interleave_halves(rounded));
        if (residuals == nullptr) continue;
        stream_row(residuals, interleave_halves(round_residuals(even, odd, rounded)));
        residuals += stride;
    }
}

}  // namespace
}  // namespace cellzoo
