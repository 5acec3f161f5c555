// Weights as bfloat16 into the panels that the microkernel reads: of each two units of the source one row. What they
// lack goes into panels of the same kind, where those are not null.
#pragma once

#include "bfloat16.h"
#include "transpose.h"

namespace cellzoo {
namespace {

inline void stream_row(uint16_t *to, __m512i row) { _mm512_stream_si512(reinterpret_cast<__m512i *>(to), row); }

// Columns `unit` and on of W^T: rows of W, (rows, columns), become columns of the panel.
template <class T>
void pack_transposition(const float *weight, int64_t rows, int64_t columns, int64_t unit, uint16_t *panel,
                               int64_t stride, uint16_t *rests) {
    const int64_t count = smaller(lanes<float>, rows - unit);
    for (int64_t k = 0; k < columns; k += tile_depth) {
        Vector<float> rounded[lanes<float>], lacking[lanes<float>];
        for (int64_t i = 0; i < lanes<float>; i++) {
            const float *from = weight + (unit + i) * columns + k;
            const int64_t width = i < count ? columns - k : 0;
            const __m512 first = load_first(from, width), second = load_first(from + lanes<float>, width - lanes<float>);
            rounded[i] = (Vector<float>)round_both(first, second);
            if (rests != nullptr) lacking[i] = (Vector<float>)round_rests(first, second, (__m512i)rounded[i]);
        }
        transpose<float>(rounded);
        for (int64_t i = 0; i < lanes<float>; i++, panel += stride) stream_row(panel, (__m512i)rounded[i]);
        if (rests == nullptr) continue;
        transpose<float>(lacking);
        for (int64_t i = 0; i < lanes<float>; i++, rests += stride) stream_row(rests, (__m512i)lacking[i]);
    }
}

// Columns `unit` and on of W.
template <class T>
void pack_columns(const float *weight, int64_t rows, int64_t columns, int64_t unit, uint16_t *panel,
                         int64_t stride, uint16_t *rests) {
    const int64_t count = columns - unit;
    for (int64_t k = 0; k < packed_depth(rows); k += 2, panel += stride) {
        const float *from = weight + k * columns + unit;
        const __m512 even = load_first(from, k < rows ? count : 0);
        const __m512 odd = load_first(from + columns, k + 1 < rows ? count : 0);
        const __m512i rounded = round_both(even, odd);
        stream_row(panel, take_turns(rounded));
        if (rests == nullptr) continue;
        stream_row(rests, take_turns(round_rests(even, odd, rounded)));
        rests += stride;
    }
}

}  // namespace
}  // namespace cellzoo
