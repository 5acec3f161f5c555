// What the microkernels of products are called with.
#pragma once

#include "vector.h"

namespace cellzoo {
namespace {

template <class T>
struct ProductCall {
    int64_t depth;
    const Packed<T> *source;  // row 0, unit 0
    int64_t stride;           // from one block of the source's units to the next
    const Packed<T> *panel;   // [depth][panels][lanes]
    const T *initial[2];      // of each panel: where its result starts from, row 0
    int64_t step[2];          // from one row of it to the next; 0 for the same in each row
    T *result[2];             // of each panel, rows contiguous
    const char *ahead;        // what to bring into the cache meanwhile
    int64_t ahead_lines;      // of it at each block of the source's units
    bool splits;              // numbers are sums of two bfloat16
    int64_t source_rests;     // from the first of them to the second, in the source
    int64_t panel_rests;      // and in the panel
};

}  // namespace
}  // namespace cellzoo
