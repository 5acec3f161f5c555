// Products with unpacked weights: for few rows, packing would cost more than it gains.
#pragma once

#include "pack.h"
#include "product_call.h"

namespace cellzoo {
namespace {

// One row of the source times one unit block of W^T: for each unit the dot product of W[unit] and the source. `weight`
// points to the first of `count` rows of W, each `depth` long.
template <class T>
Vector<T> multiply_row(const T *weight, int64_t count, const T *source, int64_t depth, int64_t stride) {
    const T *rows[lanes<T>];
#pragma GCC unroll 16
    for (int64_t i = 0; i < lanes<T>; i++) rows[i] = weight + smaller(i, count - 1) * depth;
    Vector<T> sums[lanes<T>] = {};
    int64_t k = 0;
    for (; k + lanes<T> <= depth; k += lanes<T>, source += stride) {
        const Vector<T> values = load(source);
#pragma GCC unroll 16
        for (int64_t i = 0; i < lanes<T>; i++) sums[i] += values * load_unaligned(rows[i] + k);
    }
    if (k < depth) {
        const Vector<T> values = load_part(source, depth - k);  // lanes beyond the last unit may hold NaN
        for (int64_t i = 0; i < lanes<T>; i++) sums[i] += values * load_part(rows[i] + k, depth - k);
    }
    for (int64_t i = count; i < lanes<T>; i++) sums[i] = Vector<T>{};
    transpose<T>(sums);
#pragma GCC unroll 4
    for (int64_t half = lanes<T> / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int64_t i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
}

template <class T>
void multiply_directly(const ProductCall<T> &call, int64_t panel, int64_t rows, const T *weight, int64_t count) {
    for (int64_t m = 0; m < rows; m++)
        store(call.result[panel] + m * lanes<T>,
              load(call.initial[panel] + m * call.step[panel]) +
                  multiply_row<T>(weight, count, call.source + m * lanes<T>, call.depth, call.stride));
}

}  // namespace
}  // namespace cellzoo
