// Packing of weights into panels in the order in which the micro-kernel reads them; conversion of rows to and from the
// blocked layout.
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

// Packs the panels of one group of unit blocks: [product][term][depth][panel][lane]. Written with non-temporal stores,
// as all packed weights together do not fit into the cache.
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

// Row-major rows of `size` numbers to blocked layout.
template <class T>
void scatter_rows(const T *from, int64_t size, int64_t rows, int64_t first_block, int64_t last_block, T *to,
                  int64_t stride) {
    constexpr int64_t burst = 8;  // rows at a time, so that both reads and writes are in contiguous runs
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

// Blocked layout to row-major rows.
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
