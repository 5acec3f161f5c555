// The arguments of the micro-kernels of matrix products.
#pragma once

#include "vector.h"

namespace cellzoo {
namespace {

template <class T>
struct ProductCall {
    int64_t depth;
    const Packed<T> *source;  // row 0, unit 0
    int64_t stride;           // between unit blocks of the source
    const Packed<T> *panel;   // [depth][panels][lanes]
    const T *initial[2];      // by panel: initial value of the sums, row 0
    int64_t step[2];          // row stride of it; 0 if it is the same for all rows
    T *result[2];             // by panel, rows contiguous
    const char *ahead;        // memory to prefetch
    int64_t ahead_lines;      // cache lines to prefetch per unit block of the source
    bool splits;              // factors have two bfloat16 terms
    int64_t source_residuals; // offset of the second term in the source
    int64_t panel_residuals;  // offset of the second term in the panel
};

}  // namespace
}  // namespace cellzoo
