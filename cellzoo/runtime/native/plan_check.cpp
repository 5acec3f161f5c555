#include "plan_check.h"

namespace cellzoo {
namespace {

// What an instruction's `imm` refers to.
enum class Immediate { none, constant, vector, scalar, mask, load, store, parameter, four_parameters };

struct Signature {
    int operands;
    bool writes;
    Immediate immediate;
    bool backward_only;
};

bool signature_of(Op op, Signature &signature) {
    switch (op) {
        case Op::copy: signature = {1, true, Immediate::none, false}; return true;
        case Op::fill: signature = {0, true, Immediate::constant, false}; return true;
        case Op::vector: signature = {0, true, Immediate::vector, false}; return true;
        case Op::scalar: signature = {0, true, Immediate::scalar, false}; return true;
        case Op::mask: signature = {0, true, Immediate::mask, false}; return true;
        case Op::load_rows: signature = {0, true, Immediate::load, true}; return true;
        case Op::store_rows: signature = {1, false, Immediate::store, false}; return true;
        case Op::sigmoid:
        case Op::tanh:
        case Op::relu:
        case Op::leaky_relu:
        case Op::selu:
        case Op::exp:
        case Op::softplus:
        case Op::sqrt:
        case Op::hard_sigmoid:
        case Op::negate: signature = {1, true, Immediate::none, false}; return true;
        case Op::scale: signature = {1, true, Immediate::constant, false}; return true;
        case Op::add:
        case Op::subtract:
        case Op::multiply:
        case Op::divide:
        case Op::maximum:
        case Op::minimum: signature = {2, true, Immediate::none, false}; return true;
        case Op::blend:
        case Op::multiply_add: signature = {3, true, Immediate::none, false}; return true;
        case Op::sigmoid_backward:
        case Op::tanh_backward:
        case Op::relu_backward:
        case Op::leaky_relu_backward:
        case Op::softplus_backward:
        case Op::hard_sigmoid_backward:
        case Op::sqrt_backward:
        case Op::selu_backward: signature = {2, true, Immediate::none, false}; return true;
        case Op::blend_backward:
        case Op::maximum_backward:
        case Op::minimum_backward: signature = {3, true, Immediate::none, false}; return true;
        case Op::reduce_rows: signature = {1, false, Immediate::vector, true}; return true;
        case Op::reduce_all: signature = {1, false, Immediate::scalar, true}; return true;
        case Op::mixture: signature = {1, true, Immediate::four_parameters, false}; return true;
        case Op::mixture_backward: signature = {2, true, Immediate::four_parameters, true}; return true;
        case Op::parameter_scale: signature = {1, true, Immediate::parameter, false}; return true;
        case Op::parameter_scale_backward: signature = {2, true, Immediate::parameter, true}; return true;
    }
    return false;
}

class Checker {
  public:
    explicit Checker(const Plan &plan) : p_(plan) {}

    bool fits() const {
        for (int64_t i = 0; i < p_.state_count; i++) {
            if (p_.state_buffers[i] < 0 || p_.buffers[p_.state_buffers[i]].size != p_.state_sizes[i]) return false;
            int64_t carry = p_.carry_buffers[i];
            if (carry >= 0 && p_.buffers[carry].size != p_.state_sizes[i]) return false;
        }
        for (int64_t i = 0; i < p_.buffer_count; i++)
            if (p_.buffers[i].kind == BufferKind::input && p_.buffers[i].size != p_.input_size) return false;
        for (int64_t i = 0; i < 2; i++)
            if (p_.mask_buffers[i] >= 0 && p_.buffers[p_.mask_buffers[i]].size != mask_size(i)) return false;
        for (int64_t i = 0; i < p_.view_count; i++)
            if (!view_fits(p_.views[i])) return false;
        for (int64_t phase = 0; phase < phase_count; phase++)
            for (int64_t i = p_.phase_begin[phase]; i < p_.phase_begin[phase + 1]; i++)
                if (!kernel_fits(p_.kernels[i], Phase(phase))) return false;
        for (int64_t i = 0; i < p_.gradient_count; i++)
            if (!gradient_fits(p_.gradients[i])) return false;
        return true;
    }

  private:
    int64_t mask_size(int64_t mask) const { return mask == 0 ? p_.input_size : p_.output_size; }

    const Buffer &buffer_of(int64_t view) const { return p_.buffers[p_.views[view].buffer]; }

    bool view_fits(const View &view) const {
        BufferKind kind = p_.buffers[view.buffer].kind;
        switch (view.kind) {
            case ViewKind::rows: return kind != BufferKind::state && kind != BufferKind::carry;
            case ViewKind::state_in:
            case ViewKind::state_out: return kind == BufferKind::state;
            default: return kind == BufferKind::carry;
        }
    }

    bool readable(int64_t view, int64_t size, Phase phase) const {
        if (view < 0 || view >= p_.view_count || buffer_of(view).size != size) return false;
        BufferKind kind = buffer_of(view).kind;
        if (phase == forward_input || phase == backward_input)
            return kind == BufferKind::all || kind == BufferKind::input;
        // The final state of a row that has ended is overwritten by later steps of other rows.
        if (phase == backward_step) return p_.views[view].kind != ViewKind::state_out;
        return kind != BufferKind::carry;
    }

    bool writable(int64_t view, int64_t size, Phase phase) const {
        if (!readable(view, size, phase)) return false;
        BufferKind kind = buffer_of(view).kind;
        return kind != BufferKind::input && kind != BufferKind::mask;
    }

    bool vector_fits(int64_t weight, int64_t size) const {
        return weight >= 0 && weight < p_.weight_count && p_.weights[weight].rank == 1 &&
               p_.weights[weight].rows == size;
    }

    bool kernel_fits(const Kernel &kernel, Phase phase) const {
        if (kernel.norm != NormKind::none) return norm_fits(kernel, phase);
        for (int64_t i = 0; i < kernel.product_count; i++)
            if (!product_fits(kernel.products[i], kernel, phase)) return false;
        for (int64_t i = 0; i < kernel.instruction_count; i++)
            if (!instruction_fits(kernel.instructions[i], kernel, phase)) return false;
        return true;
    }

    bool norm_fits(const Kernel &kernel, Phase phase) const {
        if (kernel.product_count > 0 || kernel.instruction_count > 0) return false;
        const int64_t *views = kernel.norm_views;
        if (kernel.norm == NormKind::forward)
            return phase == forward_step && readable(views[0], kernel.size, phase) &&
                   writable(views[1], kernel.size, phase) && writable(views[2], kernel.size, phase);
        return phase == backward_step && readable(views[0], kernel.size, phase) &&
               readable(views[1], kernel.size, phase) && readable(views[2], kernel.size, phase) &&
               writable(views[3], kernel.size, phase);
    }

    bool product_fits(const Product &product, const Kernel &kernel, Phase phase) const {
        if (!readable(product.source, product.depth, phase)) return false;
        for (const Product::Panel &panel : product.panels) {
            const Weight &weight = p_.weights[panel.weight];
            if (weight.rank != 2) return false;
            if ((panel.transposed ? weight.rows : weight.columns) != product.depth) return false;
            if ((panel.transposed ? weight.columns : weight.rows) != kernel.size) return false;
            if (panel.init == Init::view && !readable(panel.index, kernel.size, phase)) return false;
            if (panel.init == Init::vector && !vector_fits(panel.index, kernel.size)) return false;
        }
        return true;
    }

    bool operand_fits(int64_t operand, const Kernel &kernel, Phase phase, bool written) const {
        if (operand >= 0) return operand < kernel.registers;
        if (operand < -p_.view_count) return false;
        return written ? writable(-1 - operand, kernel.size, phase) : readable(-1 - operand, kernel.size, phase);
    }

    bool instruction_fits(const Instruction &item, const Kernel &kernel, Phase phase) const {
        Signature signature{};
        if (!signature_of(item.op, signature)) return false;
        if (signature.backward_only && phase != backward_step && phase != backward_input) return false;
        if (signature.writes && !operand_fits(item.dst, kernel, phase, true)) return false;
        const int64_t operands[] = {item.a, item.b, item.c};
        for (int i = 0; i < signature.operands; i++)
            if (!operand_fits(operands[i], kernel, phase, false)) return false;
        return immediate_fits(signature.immediate, item.imm, kernel, phase);
    }

    bool immediate_fits(Immediate kind, int64_t imm, const Kernel &kernel, Phase phase) const {
        bool backward = phase == backward_step || phase == backward_input;
        switch (kind) {
            case Immediate::none: return true;
            case Immediate::constant: return imm >= 0 && imm < p_.constant_count;
            case Immediate::vector: return vector_fits(imm, kernel.size);
            case Immediate::scalar: return imm >= 0 && imm < p_.weight_count && p_.weights[imm].rank == 0;
            case Immediate::mask:
                return (imm == 0 || imm == 1) && p_.mask_buffers[imm] >= 0 && mask_size(imm) == kernel.size;
            case Immediate::load: return imm == 0 && kernel.size == p_.output_size;
            case Immediate::store:
                if (backward) return imm == 1 && kernel.size == p_.input_size;
                return imm == 0 && kernel.size == p_.output_size;
            case Immediate::parameter: return imm >= 0 && imm < p_.parameter_count;
            case Immediate::four_parameters: return imm >= 0 && imm <= p_.parameter_count - 4;
        }
        return false;
    }

    bool gradient_fits(const WeightGradient &gradient) const {
        const Weight &weight = p_.weights[gradient.weight];
        const View &source = p_.views[gradient.source];
        BufferKind kind = buffer_of(gradient.source).kind;
        if (weight.rank != 2 || buffer_of(gradient.delta).kind != BufferKind::all) return false;
        if (kind != BufferKind::all && kind != BufferKind::input && source.kind != ViewKind::state_in) return false;
        if (buffer_of(gradient.delta).size != weight.rows) return false;
        if (buffer_of(gradient.source).size != weight.columns) return false;
        return gradient.mask < 0 ||
               (p_.mask_buffers[gradient.mask] >= 0 && mask_size(gradient.mask) == weight.columns);
    }

    const Plan &p_;
};

}  // namespace

bool plan_fits(const Plan &plan) { return Checker(plan).fits(); }

}  // namespace cellzoo
