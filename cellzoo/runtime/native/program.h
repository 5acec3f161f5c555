// The interpreter of a kernel's elementwise instructions. It runs on a block of rows and one unit block, which is
// contiguous in registers and in buffers alike.
#pragma once

#include "elementary.h"
#include "job.h"

namespace cellzoo {
namespace {

// A view resolved for the current step or chunk.
template <class T>
struct ViewAt {
    T *data;         // row 0, unit 0
    int64_t stride;  // between unit blocks
};

template <class T>
inline ViewAt<T> buffer_at(const Job &job, int64_t buffer, int64_t row) {
    const Place &place = job.buffers[buffer];
    return {reinterpret_cast<T *>(place.data) + row * lanes<T>, place.rows * lanes<T>};
}

// What a part works on at present.
template <class T>
struct Position {
    const Job &job;
    const int64_t part;
    const PartMemory &memory;
    ViewAt<T> *const views;
    ViewAt<T> masks[2];
    int64_t packed_row;  // packed row number of row 0 of the views
    int64_t step;
    bool is_step;  // whether row i belongs to sequence i (a step), or to sequence row_of[i] (a chunk of all rows)
};

// The block of rows and units that an instruction works on.
template <class T>
struct Frame {
    const Position<T> &at;
    T *registers;  // of this unit block
    int64_t register_numbers;  // size of a register in numbers
    int64_t size;  // units of the kernel
    int64_t block;
    int64_t row, rows;  // first row, within the step or chunk, and number of rows
};

template <class T>
inline T *operand_at(const Frame<T> &f, int64_t operand) {
    if (operand >= 0) return f.registers + operand * f.register_numbers;
    const ViewAt<T> &view = f.at.views[-1 - operand];
    return view.data + f.block * view.stride + f.row * lanes<T>;
}

template <class T>
inline int64_t valid_lanes(const Frame<T> &f) {
    return smaller(lanes<T>, f.size - f.block * lanes<T>);
}

template <class T, class Function>
inline void each0(const Frame<T> &f, const Instruction &item, Function function) {
    T *to = operand_at(f, item.dst);
    for (int64_t i = 0; i < f.rows; i++) store(to + i * lanes<T>, function(i));
}

template <class T, class Function>
inline void each1(const Frame<T> &f, const Instruction &item, Function function) {
    const T *a = operand_at(f, item.a);
    T *to = operand_at(f, item.dst);
    for (int64_t i = 0; i < f.rows * lanes<T>; i += lanes<T>) store(to + i, function(load(a + i)));
}

template <class T, class Function>
inline void each2(const Frame<T> &f, const Instruction &item, Function function) {
    const T *a = operand_at(f, item.a), *b = operand_at(f, item.b);
    T *to = operand_at(f, item.dst);
    for (int64_t i = 0; i < f.rows * lanes<T>; i += lanes<T>) store(to + i, function(load(a + i), load(b + i)));
}

template <class T, class Function>
inline void each3(const Frame<T> &f, const Instruction &item, Function function) {
    const T *a = operand_at(f, item.a), *b = operand_at(f, item.b), *c = operand_at(f, item.c);
    T *to = operand_at(f, item.dst);
    for (int64_t i = 0; i < f.rows * lanes<T>; i += lanes<T>)
        store(to + i, function(load(a + i), load(b + i), load(c + i)));
}

template <class T>
void read_mask(const Frame<T> &f, const Instruction &item) {
    const ViewAt<T> &mask = f.at.masks[item.imm];
    const T *from = mask.data + f.block * mask.stride;
    const int32_t *row_of = f.at.job.row_of + f.at.packed_row;
    each0(f, item, [&](int64_t i) {
        const int64_t row = f.at.is_step ? f.row + i : row_of[f.row + i];
        return load(from + row * lanes<T>);
    });
}

template <class T>
void load_rows(const Frame<T> &f, const Instruction &item) {
    const int64_t count = valid_lanes(f);
    const T *from = static_cast<const T *>(f.at.job.call->grad_outputs) + (f.at.packed_row + f.row) * f.size +
                    f.block * lanes<T>;
    each0(f, item, [&](int64_t i) { return load_part(from + i * f.size, count); });
}

template <class T>
void store_rows(const Frame<T> &f, const Instruction &item) {
    const cellzoo_call &call = *f.at.job.call;
    T *to = static_cast<T *>(item.imm == 0 ? call.outputs : call.grad_inputs);
    if (to == nullptr) return;
    to += (f.at.packed_row + f.row) * f.size + f.block * lanes<T>;
    const int64_t count = valid_lanes(f);
    const T *a = operand_at(f, item.a);
    for (int64_t i = 0; i < f.rows; i++) store_part(to + i * f.size, load(a + i * lanes<T>), count);
}

template <class T>
void reduce_rows(const Frame<T> &f, const Instruction &item) {
    char *sums = f.at.memory.vectors[item.imm];
    if (sums == nullptr) return;
    T *sum = reinterpret_cast<T *>(sums) + f.block * lanes<T>;
    const T *a = operand_at(f, item.a);
    Vector<T> total{};
    for (int64_t i = 0; i < f.rows; i++) total += load(a + i * lanes<T>);
    store(sum, load(sum) + total);
}

template <class T>
void reduce_all(const Frame<T> &f, const Instruction &item) {
    const T *a = operand_at(f, item.a);
    Vector<T> total{};
    for (int64_t i = 0; i < f.rows; i++) total += load(a + i * lanes<T>);
    f.at.memory.scalars[item.imm] += sum_lanes<T>(total, valid_lanes(f));
}

// p0 tanh(a) + p1 relu(a) + p2 sigmoid(a) + p3 a. tanh(a) = 2 sigmoid(2a) - 1 would lose precision near zero, so tanh
// and sigmoid do not share an exponential.
template <class T>
void mixture(const Frame<T> &f, const Instruction &item) {
    const T *p = static_cast<const T *>(f.at.job.call->parameters) + item.imm;
    each1(f, item, [&](Vector<T> a) {
        return p[0] * hyperbolic_tangent<T>(a) + p[1] * relu<T>(a) + p[2] * sigmoid<T>(a) + p[3] * a;
    });
}

template <class T>
void mixture_backward(const Frame<T> &f, const Instruction &item) {
    const T *p = static_cast<const T *>(f.at.job.call->parameters) + item.imm;
    const int64_t count = valid_lanes(f);
    Vector<T> sums[4] = {};
    each2(f, item, [&](Vector<T> g, Vector<T> a) {
        const Vector<T> t = hyperbolic_tangent<T>(a), r = relu<T>(a), s = sigmoid<T>(a);
        sums[0] += g * t;
        sums[1] += g * r;
        sums[2] += g * s;
        sums[3] += g * a;
        const Vector<T> of_relu = r <= T(0) ? Vector<T>{} : broadcast(p[1]);
        return g * (p[0] * (T(1) - t * t) + of_relu + p[2] * (s * (T(1) - s)) + p[3]);
    });
    for (int i = 0; i < 4; i++) f.at.memory.parameters[item.imm + i] += sum_lanes<T>(sums[i], count);
}

template <class T>
void parameter_scale_backward(const Frame<T> &f, const Instruction &item) {
    const T p = static_cast<const T *>(f.at.job.call->parameters)[item.imm];
    Vector<T> sum{};
    each2(f, item, [&](Vector<T> g, Vector<T> a) {
        sum += g * a;
        return g * p;
    });
    f.at.memory.parameters[item.imm] += sum_lanes<T>(sum, valid_lanes(f));
}

template <class T>
void run_instruction(const Frame<T> &f, const Instruction &item) {
    using V = Vector<T>;
    const V zero{};
    switch (item.op) {
        case Op::copy: return each1(f, item, [](V a) { return a; });
        case Op::fill: {
            const V value = broadcast(T(f.at.job.constants[item.imm]));
            return each0(f, item, [&](int64_t) { return value; });
        }
        case Op::vector: {
            const V value = load(reinterpret_cast<const T *>(f.at.job.vectors[item.imm]) + f.block * lanes<T>);
            return each0(f, item, [&](int64_t) { return value; });
        }
        case Op::scalar: {
            const V value = broadcast(*static_cast<const T *>(f.at.job.call->weights[item.imm]));
            return each0(f, item, [&](int64_t) { return value; });
        }
        case Op::mask: return read_mask(f, item);
        case Op::load_rows: return load_rows(f, item);
        case Op::store_rows: return store_rows(f, item);
        case Op::sigmoid: return each1(f, item, sigmoid<T>);
        case Op::tanh: return each1(f, item, hyperbolic_tangent<T>);
        case Op::relu: return each1(f, item, relu<T>);
        case Op::leaky_relu: return each1(f, item, leaky_relu<T>);
        case Op::selu: return each1(f, item, selu<T>);
        case Op::exp: return each1(f, item, exponential<T>);
        case Op::softplus: return each1(f, item, softplus<T>);
        case Op::sqrt: return each1(f, item, square_root<T>);
        case Op::hard_sigmoid: return each1(f, item, hard_sigmoid<T>);
        case Op::add: return each2(f, item, [](V a, V b) { return a + b; });
        case Op::subtract: return each2(f, item, [](V a, V b) { return a - b; });
        case Op::multiply: return each2(f, item, [](V a, V b) { return a * b; });
        case Op::divide: return each2(f, item, [](V a, V b) { return a / b; });
        case Op::minimum: return each2(f, item, [](V a, V b) { return ((a < b) | (a != a)) ? a : b; });
        case Op::maximum: return each2(f, item, [](V a, V b) { return ((a > b) | (a != a)) ? a : b; });
        case Op::blend: return each3(f, item, blend<T>);
        case Op::scale: {
            const T factor = T(f.at.job.constants[item.imm]);
            return each1(f, item, [factor](V a) { return a * factor; });
        }
        case Op::multiply_add: return each3(f, item, [](V a, V b, V c) { return a * b + c; });
        case Op::negate: return each1(f, item, [](V a) { return -a; });
        case Op::sigmoid_backward: return each2(f, item, [](V g, V s) { return g * (s * (T(1) - s)); });
        case Op::tanh_backward: return each2(f, item, [](V g, V t) { return g * (T(1) - t * t); });
        case Op::relu_backward: return each2(f, item, [&](V g, V o) { return o <= T(0) ? zero : g; });
        case Op::leaky_relu_backward: return each2(f, item, [](V g, V o) { return o > T(0) ? g : g * T(0.01); });
        case Op::selu_backward:
            return each2(f, item, [](V g, V o) {
                return g * (o > T(0) ? broadcast(T(selu_scale)) : o + T(selu_scale * selu_alpha));
            });
        case Op::blend_backward: return each3(f, item, [](V g, V a, V b) { return g * (a - b); });
        case Op::minimum_backward:
            return each3(f, item, [&](V g, V a, V b) { return a == b ? g * T(0.5) : (a > b ? zero : g); });
        case Op::maximum_backward:
            return each3(f, item, [&](V g, V a, V b) { return a == b ? g * T(0.5) : (a < b ? zero : g); });
        case Op::softplus_backward:
            return each2(f, item, [](V g, V o) {
                return g * -exponential_minus_one<T>(clamp<T>(-o, ExpConstants<T>::tanh_most));
            });
        case Op::hard_sigmoid_backward:
            return each2(f, item, [&](V g, V o) { return ((o <= T(0)) | (o >= T(1))) ? zero : g * T(1.0 / 6.0); });
        case Op::sqrt_backward: return each2(f, item, [](V g, V o) { return g / (o + o); });
        case Op::reduce_rows: return reduce_rows(f, item);
        case Op::reduce_all: return reduce_all(f, item);
        case Op::mixture: return mixture(f, item);
        case Op::mixture_backward: return mixture_backward(f, item);
        case Op::parameter_scale: {
            const T factor = static_cast<const T *>(f.at.job.call->parameters)[item.imm];
            return each1(f, item, [factor](V a) { return a * factor; });
        }
        case Op::parameter_scale_backward: return parameter_scale_backward(f, item);
    }
}

}  // namespace
}  // namespace cellzoo
