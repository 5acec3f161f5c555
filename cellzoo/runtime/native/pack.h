// Weights into panels in the order in which the microkernel reads them, and rows into blocked layout and back.
#pragma once

#include "job.h"
#if defined(CELLZOO_BFLOAT16)
#include "panels_bfloat16.h"
#else
#include "panels.h"
#endif

namespace cellzoo {
namespace {

template <class T>
int64_t group_numbers(const Job &job, const Kernel &kernel) {
    return job.terms * (rounds ? kernel.padded_depth : kernel.depth) * 2 * lanes<T>;
}

// The panels of one group of unit blocks: [product][term][depth][panels][lanes]. They are streamed past the cache: all
// packs together would only push each other out of it.
template <class T>
void pack_group(const Job &job, const Kernel &kernel, int64_t group, Packed<T> *pack) {
    const int64_t first = group * kernel.group;
    const int64_t panels = kernel.group == 1 ? 2 : smaller(2, blocks_of<T>(kernel.size) - first);
    Packed<T> *to = pack + group * group_numbers<T>(job, kernel);
    for (int64_t i = 0; i < kernel.product_count; i++) {
        const Product &product = kernel.products[i];
        const int64_t numbers = packed_depth(product.depth) * panels * lanes<T>;
        for (int64_t p = 0; p < panels; p++) {
            const Product::Panel &panel = product.panels[p];
            const Weight &weight = job.plan->weights[panel.weight];
            const int64_t unit = (kernel.group == 1 ? first : first + p) * lanes<T>;
            Packed<T> *at = to + p * packed_lanes<T>;
            auto pack_panel = panel.transposed ? pack_columns<T> : pack_transposition<T>;
            pack_panel(static_cast<const T *>(job.call->weights[panel.weight]), weight.rows, weight.columns, unit, at,
                       panels * packed_lanes<T>, job.terms == 2 ? at + numbers : nullptr);
        }
        to += job.terms * numbers;
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
