// The micro-kernel of matrix products: rows of a source in blocked layout times one or two packed weight panels.
#pragma once

#include "product_call.h"

namespace cellzoo {
namespace {

template <class T, int rows, int panels>
using Sums = Vector<T>[rows][panels];

// Independent accumulators for each sum: with a single row, one would be limited by the latency of the additions.
template <int rows>
constexpr int chains = rows == 1 ? 2 : 1;

template <class T, int rows, int panels>
inline __attribute__((always_inline)) void multiply_unit(const T *source, const T *panel, Sums<T, rows, panels> &sum) {
    Vector<T> weights[panels];
#pragma GCC unroll 2
    for (int p = 0; p < panels; p++) weights[p] = load(panel + p * lanes<T>);
#pragma GCC unroll 16
    for (int m = 0; m < rows; m++) {
        const Vector<T> value = broadcast(source[m * lanes<T>]);
#pragma GCC unroll 2
        for (int p = 0; p < panels; p++) sum[m][p] += value * weights[p];
    }
}

template <class T, int rows, int panels>
inline __attribute__((always_inline)) void multiply_units(const T *source, const T *panel, int64_t count,
                                                          Sums<T, rows, panels> (&sums)[chains<rows>]) {
    constexpr int64_t step = panels * lanes<T>;
    int64_t k = 0;
#pragma GCC unroll 2
    for (; k + chains<rows> <= count; k += chains<rows>)
#pragma GCC unroll 2
        for (int c = 0; c < chains<rows>; c++)
            multiply_unit<T, rows, panels>(source + k + c, panel + (k + c) * step, sums[c]);
    for (; k < count; k++) multiply_unit<T, rows, panels>(source + k, panel + k * step, sums[0]);
}

template <class T, int rows, int panels>
__attribute__((noinline)) void multiply(const ProductCall<T> &call) {
    Sums<T, rows, panels> sums[chains<rows>];
#pragma GCC unroll 16
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
        for (int p = 0; p < panels; p++) {
            sums[0][m][p] = load(call.initial[p] + m * call.step[p]);
            if constexpr (chains<rows> == 2) sums[1][m][p] = Vector<T>{};
        }
    const T *source = call.source, *panel = call.panel;
    const int64_t stride = call.stride, lines = call.ahead_lines;
    const char *ahead = call.ahead;
    int64_t depth = call.depth;
    for (; depth >= lanes<T>; depth -= lanes<T>) {
        // The hardware prefetcher does not follow the jump to the source's next unit block.
#pragma GCC unroll 16
        for (int m = 0; m < rows; m++) __builtin_prefetch(source + stride + m * lanes<T>, 0, 3);
        for (int64_t i = 0; i < lines; i++, ahead += 64) __builtin_prefetch(ahead, 0, 2);
        multiply_units<T, rows, panels>(source, panel, lanes<T>, sums);
        source += stride;
        panel += lanes<T> * panels * lanes<T>;
    }
    multiply_units<T, rows, panels>(source, panel, depth, sums);
#pragma GCC unroll 16
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 2
        for (int p = 0; p < panels; p++) {
            if constexpr (chains<rows> == 2) sums[0][m][p] += sums[1][m][p];
            store(call.result[p] + m * lanes<T>, sums[0][m][p]);
        }
}

inline void release_tiles() {}

template <class T>
using Multiply = void (*)(const ProductCall<T> &);

template <class T, int panels>
Multiply<T> multiply_of(const ProductCall<T> &, int64_t rows) {
    static constexpr Multiply<T> table[] = {
        multiply<T, 1, panels>,  multiply<T, 2, panels>,  multiply<T, 3, panels>, multiply<T, 4, panels>,
        multiply<T, 5, panels>,  multiply<T, 6, panels>,
#if defined(__AVX512F__)
        multiply<T, 7, panels>,  multiply<T, 8, panels>,  multiply<T, 9, panels>, multiply<T, 10, panels>,
        multiply<T, 11, panels>, multiply<T, 12, panels>,
#endif
    };
    static_assert(sizeof(table) / sizeof(table[0]) == tile_rows, "one micro-kernel for each number of rows");
    return table[rows - 1];
}

}  // namespace
}  // namespace cellzoo
