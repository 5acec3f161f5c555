#include "plan_reader.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "barriers.h"
#include "plan_check.h"

namespace cellzoo {

struct PlanStorage {
    Plan plan{};
    std::vector<int64_t> sizes, state_sizes, state_buffers, carry_buffers;
    std::vector<Buffer> buffers;
    std::vector<View> views;
    std::vector<Weight> weights;
    std::vector<std::vector<Product>> products;
    std::vector<std::vector<Instruction>> instructions;
    std::vector<Kernel> kernels;
    std::vector<WeightGradient> gradients;
};

void PlanDeleter::operator()(PlanStorage *storage) const { delete storage; }

const Plan &plan_of(const PlanStorage &storage) { return storage.plan; }

namespace {

constexpr int64_t version = 2;
// Generous limits, so that products of sizes fit into 64 bits.
constexpr int64_t most_units = int64_t(1) << 20;
constexpr int64_t most_depth = int64_t(1) << 32;
constexpr int64_t most_registers = 1 << 14;

struct Malformed {};

void expect(bool right) {
    if (!right) throw Malformed();
}

struct Output {
    int64_t target, weight;
    bool transposed;
    Init init;
    int64_t index;
};

struct Dot {
    int64_t source;
    std::vector<Output> outputs;
};

class Reader {
  public:
    Reader(const int64_t *code, int64_t length, PlanStorage &storage)
        : next_(code), end_(code + length), s_(storage) {}

    void read() {
        expect(number(version, version) == version);
        read_widths();
        read_memory();
        read_weights();
        for (int64_t phase = 0; phase < phase_count; phase++) {
            s_.plan.phase_begin[phase] = int64_t(s_.kernels.size());
            int64_t count = count_of(8);
            for (int64_t i = 0; i < count; i++) read_kernel();
        }
        s_.plan.phase_begin[phase_count] = int64_t(s_.kernels.size());
        int64_t count = count_of(4);
        for (int64_t i = 0; i < count; i++) {
            int64_t weight = index_of(s_.weights), delta = index_of(s_.views), source = index_of(s_.views);
            s_.gradients.push_back({weight, delta, source, number(-1, 1), false, 0, 0});
        }
        expect(next_ == end_);
        finish();
    }

  private:
    int64_t number(int64_t least, int64_t most) {
        expect(next_ != end_ && *next_ >= least && *next_ <= most);
        return *next_++;
    }

    // Number of items, each of which is encoded in at least `length` integers.
    int64_t count_of(int64_t length) { return number(0, (end_ - next_) / length); }

    template <class T>
    int64_t index_of(const std::vector<T> &items) {
        return number(0, int64_t(items.size()) - 1);
    }

    int64_t size() { return s_.sizes[index_of(s_.sizes)]; }

    void read_widths() {
        int64_t count = count_of(1);
        for (int64_t i = 0; i < count; i++) s_.sizes.push_back(number(1, most_units));
        s_.plan.input_size = size();
        s_.plan.output_size = size();
        count = count_of(1);
        for (int64_t i = 0; i < count; i++) s_.state_sizes.push_back(size());
    }

    void read_memory() {
        int64_t count = count_of(3);
        for (int64_t i = 0; i < count; i++) {
            auto kind = BufferKind(number(0, 5));
            int64_t units = size();
            bool of_state = kind == BufferKind::state || kind == BufferKind::carry;
            int64_t most = of_state ? int64_t(s_.state_sizes.size()) - 1 : kind == BufferKind::mask ? 1 : INT64_MAX;
            s_.buffers.push_back({kind, units, number(0, most)});
        }
        count = count_of(2);
        for (int64_t i = 0; i < count; i++) {
            auto kind = ViewKind(number(0, 4));
            s_.views.push_back({kind, index_of(s_.buffers)});
        }
    }

    void read_weights() {
        int64_t count = count_of(3);
        for (int64_t i = 0; i < count; i++) {
            int64_t rank = number(0, 2);
            int64_t rows = size_at_rank(rank, 1), columns = size_at_rank(rank, 2);
            s_.weights.push_back({rank, rows, columns});
        }
        s_.plan.parameter_count = number(0, most_units);
        s_.plan.constant_count = number(0, most_units);
    }

    // Sizes beyond the rank of a weight are encoded, but unused.
    int64_t size_at_rank(int64_t rank, int64_t least) {
        if (rank >= least) return size();
        number(INT64_MIN, INT64_MAX);
        return 1;
    }

    void read_kernel() {
        Kernel kernel{};
        kernel.size = size();
        kernel.barrier = number(0, 1) != 0;
        kernel.registers = number(0, most_registers);
        kernel.norm = NormKind(number(0, 2));
        for (int64_t &view : kernel.norm_views) view = number(INT64_MIN, INT64_MAX);
        std::vector<Dot> dots;
        int64_t count = count_of(2);
        for (int64_t i = 0; i < count; i++) dots.push_back(read_dot(kernel));
        s_.products.emplace_back();
        gather_products(kernel, dots, s_.products.back());
        s_.instructions.emplace_back();
        count = count_of(6);
        for (int64_t i = 0; i < count; i++) {
            Instruction item{};
            item.op = Op(number(0, 63));
            for (int64_t *field : {&item.dst, &item.a, &item.b, &item.c, &item.imm})
                *field = number(INT64_MIN, INT64_MAX);
            s_.instructions.back().push_back(item);
        }
        s_.kernels.push_back(kernel);
    }

    Dot read_dot(const Kernel &kernel) {
        Dot dot{index_of(s_.views), {}};
        int64_t count = count_of(5);
        for (int64_t i = 0; i < count; i++) {
            Output output{};
            output.target = number(0, kernel.registers - 1);
            output.weight = index_of(s_.weights);
            output.transposed = number(0, 1) != 0;
            output.init = Init(number(0, 3));
            output.index = number(INT64_MIN, INT64_MAX);
            dot.outputs.push_back(output);
        }
        return dot;
    }

    void gather_products(Kernel &kernel, const std::vector<Dot> &dots, std::vector<Product> &products) {
        kernel.group = 1;
        for (const Dot &dot : dots) {
            if (dot.outputs.size() % 2 != 0) kernel.group = 2;
            for (size_t i = 0; i + 1 < dot.outputs.size(); i += 2)
                if (dot.outputs[i].target == dot.outputs[i + 1].target) kernel.group = 2;
        }
        for (const Dot &dot : dots) {
            int64_t depth = s_.buffers[s_.views[dot.source].buffer].size;
            for (size_t i = 0; i < dot.outputs.size(); i += 3 - kernel.group) {
                Product product{dot.source, depth, kernel.rounded_depth, {}};
                const auto same = std::find_if(products.begin(), products.end(), [&](const Product &other) {
                    return other.source == dot.source;
                });
                if (same != products.end()) product.place = same->place;
                else kernel.rounded_depth += padded_depth_of(depth);
                for (size_t panel = 0; panel < 2; panel++) {
                    const Output &o = dot.outputs[kernel.group == 1 ? i + panel : i];
                    product.panels[panel] = {o.target, o.weight, o.transposed, o.init, o.index};
                }
                products.push_back(product);
                kernel.depth += depth;
                kernel.padded_depth += padded_depth_of(depth);
                expect(kernel.depth <= most_depth);
            }
        }
    }

    void finish() {
        Plan &plan = s_.plan;
        for (size_t i = 0; i < s_.kernels.size(); i++) {
            s_.kernels[i].products = s_.products[i].data();
            s_.kernels[i].product_count = int64_t(s_.products[i].size());
            s_.kernels[i].instructions = s_.instructions[i].data();
            s_.kernels[i].instruction_count = int64_t(s_.instructions[i].size());
        }
        s_.state_buffers.assign(s_.state_sizes.size(), -1);
        s_.carry_buffers.assign(s_.state_sizes.size(), -1);
        plan.mask_buffers[0] = plan.mask_buffers[1] = -1;
        for (size_t i = 0; i < s_.buffers.size(); i++) {
            const Buffer &buffer = s_.buffers[i];
            int64_t *slot = buffer.kind == BufferKind::state   ? &s_.state_buffers[buffer.index]
                            : buffer.kind == BufferKind::carry ? &s_.carry_buffers[buffer.index]
                            : buffer.kind == BufferKind::mask  ? &plan.mask_buffers[buffer.index]
                                                               : nullptr;
            if (slot == nullptr) continue;
            expect(*slot == -1);
            *slot = int64_t(i);
        }
        for (int64_t mask = 0; mask < 2; mask++) add_mask_if_used(mask);
        for (const auto &program : s_.instructions)
            for (const Instruction &item : program) plan.has_kinks |= has_kink(item.op);
        plan.state_sizes = s_.state_sizes.data();
        plan.state_count = int64_t(s_.state_sizes.size());
        plan.state_buffers = s_.state_buffers.data();
        plan.carry_buffers = s_.carry_buffers.data();
        plan.buffers = s_.buffers.data();
        plan.buffer_count = int64_t(s_.buffers.size());
        plan.views = s_.views.data();
        plan.view_count = int64_t(s_.views.size());
        plan.weights = s_.weights.data();
        plan.weight_count = int64_t(s_.weights.size());
        plan.kernels = s_.kernels.data();
        plan.gradients = s_.gradients.data();
        plan.gradient_count = int64_t(s_.gradients.size());
        expect(plan_fits(plan));
        for (WeightGradient &gradient : s_.gradients) gradient.late = is_late(plan, gradient);
        place_panels();
        set_barriers(plan, s_.kernels.data());
    }

    void place_panels() {
        auto &all = s_.gradients;
        const auto place = [&](int64_t units) {
            const int64_t next = s_.plan.panel_blocks;
            s_.plan.panel_blocks += (units + 15) / 16;
            return next;
        };
        for (auto item = all.begin(); item != all.end(); item++) {
            const Weight &weight = s_.weights[item->weight];
            const auto delta = std::find_if(all.begin(), item, [&](const auto &o) { return o.delta == item->delta; });
            item->delta_place = delta == item ? place(weight.rows) : delta->delta_place;
            const auto source = std::find_if(all.begin(), item, [&](const auto &o) {
                return o.source == item->source && o.mask == item->mask;
            });
            item->source_place = source == item ? place(weight.columns) : source->source_place;
        }
    }

    static bool has_kink(Op op) {
        constexpr Op kinks[] = {Op::relu, Op::leaky_relu, Op::selu, Op::hard_sigmoid, Op::minimum, Op::maximum,
                                Op::mixture};
        return std::find(std::begin(kinks), std::end(kinks), op) != std::end(kinks);
    }

    static bool is_late(const Plan &plan, const WeightGradient &gradient) {
        const int64_t delta = plan.views[gradient.delta].buffer, source = plan.views[gradient.source].buffer;
        for (int64_t k = plan.phase_begin[backward_input]; k < plan.phase_begin[phase_count]; k++)
            for (int64_t i = 0; i < plan.kernels[k].instruction_count; i++) {
                const int64_t target = plan.kernels[k].instructions[i].dst;
                if (target >= 0 || target < -plan.view_count) continue;
                const int64_t buffer = plan.views[-1 - target].buffer;
                if (buffer == delta || buffer == source) return true;
            }
        return false;
    }

    // Instructions and weight gradients refer to masks by number, so the plan need not declare a buffer for them.
    void add_mask_if_used(int64_t mask) {
        if (s_.plan.mask_buffers[mask] >= 0) return;
        bool used = false;
        for (const auto &program : s_.instructions)
            for (const Instruction &item : program) used |= item.op == Op::mask && item.imm == mask;
        for (const WeightGradient &gradient : s_.gradients) used |= gradient.mask == mask;
        if (!used) return;
        s_.plan.mask_buffers[mask] = int64_t(s_.buffers.size());
        s_.buffers.push_back({BufferKind::mask, mask == 0 ? s_.plan.input_size : s_.plan.output_size, mask});
    }

    const int64_t *next_, *end_;
    PlanStorage &s_;
};

}  // namespace

PlanPointer read_plan(const int64_t *code, int64_t length) {
    if (code == nullptr || length < 0) return nullptr;
    PlanPointer storage(new PlanStorage);
    try {
        Reader(code, length, *storage).read();
    } catch (const Malformed &) {
        return nullptr;
    }
    return storage;
}

}  // namespace cellzoo
