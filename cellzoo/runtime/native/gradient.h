// Gradients of weight matrices: delta^T @ source over all rows. The blocked layout of both needs no packing.
#pragma once

#include "job.h"
#include "vector.h"

namespace cellzoo {
namespace {

// The register block: 8 units x 3 vectors of sums take 24 of 32 registers, 4 x 3 take 12 of 16.
template <class T>
constexpr int64_t gradient_units = smaller(lanes<T>, vector_bytes == 64 ? 8 : 4);

template <class T>
struct GradientCall {
    int64_t rows;
    const T *delta;         // row 0, first unit of the register block
    const T *source;        // row 0, first unit block of the source
    int64_t source_stride;  // between unit blocks
    T *gradient;            // first unit, first column; row-major
    int64_t columns;        // of the gradient
    int64_t valid_units;    // units of the register block
    int64_t last_lanes;     // valid lanes of its last vector
    bool fresh;             // overwrite the gradient instead of adding to it
};

template <class T, int vectors>
__attribute__((noinline)) void add_gradient(const GradientCall<T> &call) {
    constexpr int units = int(gradient_units<T>);
    Vector<T> sum[units][vectors];
#pragma GCC unroll 8
    for (int u = 0; u < units; u++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++) sum[u][v] = Vector<T>{};
    const T *delta = call.delta, *source = call.source;
    const int64_t stride = call.source_stride;
    for (int u = 0; u < units && u < call.valid_units && !call.fresh; u++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++) __builtin_prefetch(call.gradient + u * call.columns + v * lanes<T>, 1, 3);
#pragma GCC unroll 2
    for (int64_t row = 0; row < call.rows; row++) {
        Vector<T> value[vectors];
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++) value[v] = load(source + v * stride);
#pragma GCC unroll 8
        for (int u = 0; u < units; u++) {
            Vector<T> factor = broadcast(delta[u]);
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++) sum[u][v] += factor * value[v];
        }
        delta += lanes<T>;
        source += lanes<T>;
    }
    const bool whole = call.valid_units == units && call.last_lanes == lanes<T>;
#pragma GCC unroll 8
    for (int u = 0; u < units; u++) {
        T *to = call.gradient + u * call.columns;
        if (whole) {
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++) {
                if (!call.fresh) sum[u][v] += load_unaligned(to + v * lanes<T>);
                store_unaligned<T>(to + v * lanes<T>, sum[u][v]);
            }
        } else if (u < call.valid_units) {
            for (int v = 0; v < vectors; v++) {
                const int64_t count = v == vectors - 1 ? call.last_lanes : lanes<T>;
                if (!call.fresh) sum[u][v] += load_part(to + v * lanes<T>, count);
                store_part<T>(to + v * lanes<T>, sum[u][v], count);
            }
        }
    }
}

template <class T>
struct GradientSource {
    const T *data;  // packed row 0
    int64_t stride;
    const T *mask;  // null for none; one row a sequence
    int64_t mask_stride;
    const int32_t *row_of;  // packed row -> sequence
    T *masked;  // scratch memory for one panel
};

// The panel of the source for `rows` rows from `row`: in place, or a copy multiplied by the mask.
template <class T>
const T *source_panel(const GradientSource<T> &source, int64_t block, int64_t vectors, int64_t row, int64_t rows,
                      int64_t &stride) {
    const T *from = source.data + block * source.stride + row * lanes<T>;
    stride = source.stride;
    if (source.mask == nullptr) return from;
    stride = gradient_rows * lanes<T>;
    for (int64_t v = 0; v < vectors; v++) {
        const T *mask = source.mask + (block + v) * source.mask_stride;
        for (int64_t i = 0; i < rows; i++)
            store<T>(source.masked + v * stride + i * lanes<T>,
                     load(from + v * source.stride + i * lanes<T>) * load(mask + source.row_of[row + i] * lanes<T>));
    }
    return source.masked;
}

// Accumulates the packed rows [row, end) into the gradient's unit blocks [first, last); overwrites them if `fresh`.
template <class T>
void add_weight_gradient(const Weight &weight, const T *delta, int64_t delta_stride, const GradientSource<T> &source,
                         int64_t row, int64_t end, int64_t first, int64_t last, T *gradient, bool fresh) {
    const int64_t source_blocks = blocks_of<T>(weight.columns);
    const int64_t last_unit = smaller(weight.rows, last * lanes<T>);
    GradientCall<T> call{};
    call.columns = weight.columns;
    call.fresh = fresh;
    for (; row < end; row += gradient_rows) {
        call.rows = smaller(gradient_rows, end - row);
        for (int64_t block = 0; block < source_blocks;) {
            // Four vectors are 2 + 2 and not 3 + 1, as a single vector is inefficient.
            const int64_t left = source_blocks - block;
            const int64_t vectors = left == 4 || left == 2 ? 2 : smaller(left, gradient_vectors);
            call.source = source_panel(source, block, vectors, row, call.rows, call.source_stride);
            call.last_lanes = smaller(lanes<T>, weight.columns - (block + vectors - 1) * lanes<T>);
            for (int64_t unit = first * lanes<T>; unit < last_unit; unit += gradient_units<T>) {
                call.delta = delta + unit / lanes<T> * delta_stride + row * lanes<T> + unit % lanes<T>;
                call.gradient = gradient + unit * weight.columns + block * lanes<T>;
                call.valid_units = smaller(gradient_units<T>, weight.rows - unit);
                if (vectors == 3) add_gradient<T, 3>(call);
                else if (vectors == 2) add_gradient<T, 2>(call);
                else add_gradient<T, 1>(call);
            }
            block += vectors;
        }
        call.fresh = false;
    }
}

}  // namespace
}  // namespace cellzoo
