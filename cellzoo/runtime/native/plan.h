// The decoded plan (see cellzoo/runtime/program.py). Plain arrays instead of std containers: inline functions of the
// latter could be compiled for one instruction set and linked into the code of another.
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

// Depth (units of the source) of one AMX tile of bfloat16.
constexpr int64_t tile_depth = 32;

constexpr int64_t padded_depth_of(int64_t depth) { return (depth + tile_depth - 1) / tile_depth * tile_depth; }

struct Buffer {
    BufferKind kind;
    int64_t size;   // units of a row
    int64_t index;  // of the state or mask it belongs to
};

struct View {
    ViewKind kind;
    int64_t buffer;
};

struct Weight {
    int64_t rank, rows, columns;  // sizes beyond the rank are 1
};

struct Instruction {
    Op op;
    int64_t dst, a, b, c;  // operands: >= 0 is a register, < 0 is view -1 - operand
    int64_t imm;
};

// A matrix product of one source with up to two weight panels: one micro-kernel call per block of rows. If the
// kernel's group is 1 the panels belong to two different outputs; if it is 2 they are neighbouring unit blocks of one.
struct Product {
    int64_t source;  // view
    int64_t depth;   // units of the source
    int64_t place;   // offset of the source in units within the kernel's sources once converted to bfloat16
    struct Panel {
        int64_t target;  // register
        int64_t weight;
        bool transposed;  // the product with W instead of W^T
        Init init;
        int64_t index;  // of the view or vector that gives the initial value
    } panels[2];
};

struct Kernel {
    int64_t size;     // units
    bool barrier;     // all parts must have finished the kernels before it
    int64_t registers;
    int64_t group;    // unit blocks computed together, 1 or 2
    int64_t depth;    // sum of the products' depths
    int64_t padded_depth;  // the same with each depth padded to whole tiles
    int64_t rounded_depth;  // padded depth of all distinct sources
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
    bool late;     // its delta or source is written in the backward input phase
    int64_t delta_place, source_place;  // offsets of their bfloat16 panels in blocks of 16 units
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
    const Kernel *kernels;  // of all phases, in order
    int64_t phase_begin[phase_count + 1];
    const WeightGradient *gradients;
    int64_t gradient_count;
    int64_t panel_blocks;       // total size of the bfloat16 panels, in blocks of 16 units
    const int64_t *state_buffers;  // by state
    const int64_t *carry_buffers;  // by state, -1 for none
    int64_t mask_buffers[2];       // -1 for none
    bool has_kinks;                // some operation has a discontinuous derivative, as relu has at 0
};

}  // namespace cellzoo
