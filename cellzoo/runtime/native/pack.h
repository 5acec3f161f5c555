// Weights into panels in the order in which the microkernel reads them, and rows into blocked layout and back.
#pragma once

#include "plan.h"
#include "vector.h"

namespace cellzoo {
namespace {

// Lane `from` of a, of b, the next of a, of b and so on.
template <class T, int64_t from>
inline Vector<T> interleave(Vector<T> a, Vector<T> b) {
#if defined(__clang__)
    Vector<T> mixed;  // LLVM makes this one shuffle
#pragma GCC unroll 16
    for (int64_t i = 0; i < lanes<T>; i++) mixed[i] = i % 2 == 0 ? a[from + i / 2] : b[from + i / 2];
    return mixed;
#else
    Integers<T> order;
    for (int64_t i = 0; i < lanes<T>; i++) order[i] = from + i / 2 + (i % 2) * lanes<T>;
    return __builtin_shuffle(a, b, order);
#endif
}

// Transposes a square of vectors: each round is a perfect shuffle of its rows.
template <class T>
inline void transpose(Vector<T> (&rows)[lanes<T>]) {
#pragma GCC unroll 4
    for (int64_t round = 1; round < lanes<T>; round *= 2) {
        Vector<T> mixed[lanes<T>];
#pragma GCC unroll 8
        for (int64_t i = 0; i < lanes<T> / 2; i++) {
            mixed[2 * i] = interleave<T, 0>(rows[i], rows[i + lanes<T> / 2]);
            mixed[2 * i + 1] = interleave<T, lanes<T> / 2>(rows[i], rows[i + lanes<T> / 2]);
        }
#pragma GCC unroll 16
        for (int64_t i = 0; i < lanes<T>; i++) rows[i] = mixed[i];
    }
}

// Columns `unit` and on of W^T: rows of W, (rows, columns), become columns of the panel.
template <class T>
void pack_transposition(const T *weight, int64_t rows, int64_t columns, int64_t unit, T *panel, int64_t stride) {
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

// Columns `unit` and on of W.
template <class T>
void pack_columns(const T *weight, int64_t rows, int64_t columns, int64_t unit, T *panel, int64_t stride) {
    const int64_t count = smaller(lanes<T>, columns - unit);
    for (int64_t k = 0; k < rows; k++) {
        stream(panel + k * stride, load_part(weight + k * columns + unit, count));
        __builtin_prefetch(weight + k * columns + unit + 2 * lanes<T>, 0, 2);  // for the next group
    }
}

template <class T>
int64_t group_numbers(const Kernel &kernel) {
    return kernel.depth * 2 * lanes<T>;
}

// The panels of one group of unit blocks: [product][depth][panels][lanes]. They are streamed past the cache: all packs
// together would only push each other out of it.
template <class T>
void pack_group(const Plan &plan, const void *const *weights, const Kernel &kernel, int64_t group, T *pack) {
    const int64_t first = group * kernel.group;
    const int64_t panels = kernel.group == 1 ? 2 : smaller(2, blocks_of<T>(kernel.size) - first);
    T *to = pack + group * group_numbers<T>(kernel);
    for (int64_t i = 0; i < kernel.product_count; i++) {
        const Product &product = kernel.products[i];
        for (int64_t p = 0; p < panels; p++) {
            const Product::Panel &panel = product.panels[p];
            const Weight &weight = plan.weights[panel.weight];
            const int64_t unit = (kernel.group == 1 ? first : first + p) * lanes<T>;
            auto pack_panel = panel.transposed ? pack_columns<T> : pack_transposition<T>;
            pack_panel(static_cast<const T *>(weights[panel.weight]), weight.rows, weight.columns, unit,
                       to + p * lanes<T>, panels * lanes<T>);
        }
        to += product.depth * panels * lanes<T>;
    }
}

// Rows of `size` numbers, row-major, into blocks of units.
template <class T>
void scatter_rows(const T *from, int64_t size, int64_t rows, int64_t first_block, int64_t last_block, T *to,
                  int64_t stride) {
    constexpr int64_t burst = 8;  // rows: written in runs, while whole rows are read
    for (int64_t begin = 0; begin < rows; begin += burst)
        for (int64_t block = first_block; block < last_block; block++)
            for (int64_t row = begin; row < smaller(rows, begin + burst); row++)
                store(to + block * stride + row * lanes<T>,
                      load_part(from + row * size + block * lanes<T>, smaller(lanes<T>, size - block * lanes<T>)));
}

template <class T>
void clear_rows(int64_t rows, int64_t first_block, int64_t last_block, T *to, int64_t stride) {
    for (int64_t block = first_block; block < last_block; block++)
        for (int64_t row = 0; row < rows; row++) store(to + block * stride + row * lanes<T>, Vector<T>{});
}

template <class T>
void gather_rows(const T *from, int64_t stride, int64_t size, int64_t rows, int64_t first_block, int64_t last_block,
                 T *to) {
    for (int64_t block = first_block; block < last_block; block++)
        for (int64_t row = 0; row < rows; row++)
            store_part(to + row * size + block * lanes<T>, load(from + block * stride + row * lanes<T>),
                       smaller(lanes<T>, size - block * lanes<T>));
}

}  // namespace
}  // namespace cellzoo
