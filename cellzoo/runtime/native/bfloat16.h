// Numbers rounded to bfloat16, to the nearest, ties to even; subnormal ones become zero.
#pragma once

#include "vector.h"

namespace cellzoo {
namespace {

// The first `count` numbers, none where it is negative; the others are zero, and not read.
inline __m512 load_first(const float *from, int64_t count) {
    const int64_t valid = smaller(larger(count, 0), lanes<float>);
    return _mm512_maskz_loadu_ps(__mmask16((1u << valid) - 1u), from);
}

// Those of `first`, then those of `second`.
inline __m512i round_both(__m512 first, __m512 second) { return (__m512i)_mm512_cvtne2ps_pbh(second, first); }

// One of `even`, one of `odd`, the next of `even` and so on.
inline __m512i round_in_turn(__m512 even, __m512 odd) {
    alignas(64) static constexpr uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(order), round_both(even, odd));
}

// A source's rows for products: [blocks of 32 units][row][32].
inline void round_rows(const float *from, int64_t stride, int64_t depth, int64_t rows, uint16_t *to) {
    for (int64_t k = 0; k < depth; k += tile_depth, from += 2 * stride)
        for (int64_t row = 0; row < rows; row++, to += tile_depth) {
            const float *first = from + row * lanes<float>;
            _mm512_store_si512(to, round_both(load_first(first, depth - k),
                                              load_first(first + stride, depth - k - lanes<float>)));
        }
}

}  // namespace
}  // namespace cellzoo
