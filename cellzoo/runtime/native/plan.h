// A plan as the kernels read it: plain arrays, so that no inline code is shared between instruction sets.
#pragma once

#include <cstdint>

namespace cellzoo {

enum class BufferKind : int64_t { all, step, state, carry, input, mask };
enum class ViewKind : int64_t { rows, state_in, state_out, carry_in, carry_out };
enum class Init : int64_t { accumulate, zero, view, vector };
enum class NormKind : int64_t { none, forward, backward };

enum class Op : int64_t {
    copy = 0,
    fill = 1,
    vector = 2,
    scalar = 3,
    mask = 4,
    load_rows = 5,
    store_rows = 6,
    sigmoid = 10,
    tanh = 11,
    relu = 12,
    leaky_relu = 13,
    selu = 14,
    exp = 15,
    softplus = 16,
    sqrt = 17,
    hard_sigmoid = 18,
    add = 20,
    subtract = 21,
    multiply = 22,
    divide = 23,
    minimum = 24,
    blend = 25,
    scale = 26,
    multiply_add = 27,
    negate = 28,
    maximum = 29,
    sigmoid_backward = 40,
    tanh_backward = 41,
    relu_backward = 42,
    leaky_relu_backward = 43,
    selu_backward = 44,
    blend_backward = 45,
    minimum_backward = 46,
    maximum_backward = 47,
    softplus_backward = 48,
    hard_sigmoid_backward = 49,
    reduce_rows = 50,
    reduce_all = 51,
    sqrt_backward = 52,
    mixture = 60,
    mixture_backward = 61,
    parameter_scale = 62,
    parameter_scale_backward = 63,
};

enum Phase : int64_t { forward_input, forward_step, backward_step, backward_input, phase_count };

// Products of numbers that are rounded to bfloat16 go through so many units at once.
constexpr int64_t tile_depth = 32;

constexpr int64_t padded_depth_of(int64_t depth) { return (depth + tile_depth - 1) / tile_depth * tile_depth; }

struct Buffer {
    BufferKind kind;
    int64_t size;   // units of a row
    int64_t index;  // of its state, or of its mask
};

struct View {
    ViewKind kind;
    int64_t buffer;
};

struct Weight {
    int64_t rank, rows, columns;  // actual sizes
};

struct Instruction {
    Op op;
    int64_t dst, a, b, c;  // >= 0 a register, < 0 view -1 - operand
    int64_t imm;
};

// A product with one source and up to two panels of columns: one call of the microkernel per block of rows.
// In a kernel whose group is one block of units the panels are two outputs; in one whose group is two blocks
// they are the neighbouring blocks of the same output.
struct Product {
    int64_t source;  // view
    int64_t depth;   // units of the source
    int64_t place;   // where they are among all units that the kernel's products read, once they are rounded
    struct Panel {
        int64_t target;  // register
        int64_t weight;
        bool transposed;  // the product with W instead of W^T
        Init init;
        int64_t index;  // view or vector of the initial value
    } panels[2];
};

struct Kernel {
    int64_t size;     // units
    bool barrier;     // products read what other owners of columns wrote
    int64_t registers;
    int64_t group;    // blocks of units that are computed together, 1 or 2
    int64_t depth;    // sum over products
    int64_t padded_depth;  // the same, each filled up to whole tiles
    int64_t rounded_depth;  // units that the products read, those of one source once
    NormKind norm;
    int64_t norm_views[4];
    const Product *products;
    int64_t product_count;
    const Instruction *instructions;
    int64_t instruction_count;
};

struct WeightGradient {
    int64_t weight, delta, source;
    int64_t mask;  // -1 none
    bool late;     // its delta is complete only after the input phase
    int64_t delta_place, source_place;  // of their rounded panels, in blocks of 16 units; the same for the same rows
};

struct Plan {
    int64_t input_size, output_size;
    const int64_t *state_sizes;
    int64_t state_count;
    const Buffer *buffers;
    int64_t buffer_count;
    const View *views;
    int64_t view_count;
    const Weight *weights;
    int64_t weight_count;
    int64_t parameter_count, constant_count;
    const Kernel *kernels;  // of all phases, one after the other
    int64_t phase_begin[phase_count + 1];
    const WeightGradient *gradients;
    int64_t gradient_count;
    int64_t panel_blocks;       // of all places
    const int64_t *state_buffers;  // by state
    const int64_t *carry_buffers;  // by state, -1 where there is none
    int64_t mask_buffers[2];       // -1 where there is none
    bool has_kinks;                // some derivative jumps, as that of relu at 0
};

}  // namespace cellzoo
