// Packing of one weight into a panel.
#pragma once

#include "transpose.h"

namespace cellzoo {
namespace {

// The columns of W^T from `unit` on: rows of W, (rows, columns), become columns of the panel.
template <class T>
void pack_transposition(const T *weight, int64_t rows, int64_t columns, int64_t unit, T *panel, int64_t stride,
                        T * /* no residuals */) {
    const int64_t count = smaller(lanes<T>, rows - unit);
    for (int64_t k = 0; k < columns; k += lanes<T>) {
        const int64_t width = smaller(lanes<T>, columns - k);
        Vector<T> square[lanes<T>];
        for (int64_t i = 0; i < lanes<T>; i++) {
            square[i] = i < count ? load_part(weight + (unit + i) * columns + k, width) : Vector<T>{};
            __builtin_prefetch(weight + (unit + lanes<T> + i) * columns + k, 0, 2);  // for the next group
        }
        transpose<T>(square);
        for (int64_t i = 0; i < width; i++) stream(panel + (k + i) * stride, square[i]);
    }
}

// The columns of W from `unit` on.
template <class T>
void pack_columns(const T *weight, int64_t rows, int64_t columns, int64_t unit, T *panel, int64_t stride,
                  T * /* no residuals */) {
    const int64_t count = smaller(lanes<T>, columns - unit);
    for (int64_t k = 0; k < rows; k++) {
        stream(panel + k * stride, load_part(weight + k * columns + unit, count));
        __builtin_prefetch(weight + k * columns + unit + 2 * lanes<T>, 0, 2);  // for the next group
    }
}

}  // namespace
}  // namespace cellzoo
