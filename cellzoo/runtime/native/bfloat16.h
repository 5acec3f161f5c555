// Conversion of float32 to bfloat16, rounding to nearest even; subnormal numbers become zero. The residual (value minus
// rounded value) is itself rounded to bfloat16: the sum of both has about 16 significant bits.
#pragma once

#include "vector.h"

namespace cellzoo {
namespace {

// Loads the first `count` numbers, none if it is negative; the others are zero, and their memory is not read.
inline __m512 load_first(const float *from, int64_t count) {
    const int64_t valid = smaller(larger(count, 0), lanes<float>);
    return _mm512_maskz_loadu_ps(__mmask16((1u << valid) - 1u), from);
}

// bfloat16 numbers of `first`, then those of `second`.
inline __m512i round_both(__m512 first, __m512 second) { return (__m512i)_mm512_cvtne2ps_pbh(second, first); }

// The residual of one vector; NaN for infinity.
inline __m512 residual_of(__m512 value, __m256i rounded) {
    return _mm512_sub_ps(value, (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16));
}

inline __m512i round_residuals(__m512 first, __m512 second, __m512i rounded) {
    return round_both(residual_of(first, _mm512_castsi512_si256(rounded)),
                      residual_of(second, _mm512_extracti64x4_epi64(rounded, 1)));
}

// Interleaves the two halves: the first number of each, then the second of each, and so on.
inline __m512i interleave_halves(__m512i halves) {
    alignas(64) static constexpr uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(order), halves);
}

// Converts rows of a source for tile products, to [block of 32 units][row][32]; residuals too if not null.
inline void round_rows(const float *from, int64_t stride, int64_t depth, int64_t rows, uint16_t *to,
                       uint16_t *residuals) {
    for (int64_t k = 0; k < depth; k += tile_depth, from += 2 * stride)
        for (int64_t row = 0; row < rows; row++, to += tile_depth) {
            const float *at = from + row * lanes<float>;
            const __m512 first = load_first(at, depth - k), second = load_first(at + stride, depth - k - lanes<float>);
            const __m512i rounded = round_both(first, second);
            _mm512_store_si512(to, rounded);
            if (residuals == nullptr) continue;
            _mm512_store_si512(residuals, round_residuals(first, second, rounded));
            residuals += tile_depth;
        }
}

}  // namespace
}  // namespace cellzoo
