// Runs one kernel on a range of unit blocks and rows: for each register block the products, then the elementwise
// program while the results are in the L1 cache.
#pragma once

#include "direct.h"
#include "pack.h"
#if defined(CELLZOO_BFLOAT16)
#include "product_amx.h"
#else
#include "product.h"
#endif
#include "program.h"
#include "share.h"

namespace cellzoo {
namespace {

// More memory for registers would evict the sources of the products from the L1 cache.
constexpr int64_t register_bytes = 24 << 10;

template <class T>
class KernelRun {
  public:
    KernelRun(const Position<T> &at, int64_t index)
        : at_(at),
          kernel_(at.job.plan->kernels[index]),
          pack_(reinterpret_cast<const Packed<T> *>(at.job.packs[index])),
          registers_(reinterpret_cast<T *>(at.memory.registers)) {}

    void run(Range blocks, Range rows) {
        if (rows.size() <= 0) return;
        tiles_ = (rows.size() + tile_rows - 1) / tile_rows;
        round_sources(rows);
        const int64_t tile_bytes = larger(1, kernel_.registers * kernel_.group) * tile_rows * vector_bytes;
        const int64_t at_once = smaller(super_tiles, larger(1, register_bytes / tile_bytes));
        for (int64_t block = blocks.begin; block < blocks.end; block += kernel_.group) {
            const int64_t width = smaller(kernel_.group, blocks.end - block);
            for (int64_t tile = 0; tile < tiles_; tile += at_once) {
                const Range tiles = {tile, smaller(tiles_, tile + at_once)};
                const Range part = {row_of(rows, tiles.begin), row_of(rows, tiles.end)};
                if (rounds || pack_ != nullptr) multiply_all(block, width, rows, tiles);
                else if constexpr (!rounds) multiply_unpacked(block, width, part);
                for (int64_t member = 0; member < width; member++) run_program(block + member, member, part);
            }
        }
    }

  private:
    // First row of a tile; tiles have about equal sizes.
    int64_t row_of(Range rows, int64_t tile) const { return rows.begin + rows.size() * tile / tiles_; }

    T *register_at(int64_t member, int64_t number) const {
        return registers_ + (member * kernel_.registers + number) * super_rows * lanes<T>;
    }

    void multiply_all(int64_t block, int64_t width, Range rows, Range tiles) {
        const Packed<T> *panels = pack_ + block / kernel_.group * group_numbers<T>(at_.job, kernel_);
        const int64_t count = kernel_.group == 1 ? 2 : width;
        for (int64_t i = 0; i < kernel_.product_count; i++) {
            const Product &product = kernel_.products[i];
            const ViewAt<Packed<T>> source = source_of(product, rows);
            ProductCall<T> call{};
            call.depth = product.depth;
            call.stride = source.stride;
            call.panel = panels;
            const int64_t numbers = packed_depth(product.depth) * count * lanes<T>;
            use_terms(call, numbers, rows);
            // Prefetch the panels that follow in memory: those of the next group, or of the next kernel.
            const char *ahead = reinterpret_cast<const char *>(panels + group_numbers<T>(at_.job, kernel_));
            const int64_t lines = at_.job.terms * numbers * int64_t(sizeof(Packed<T>)) / 64 / tiles_;
            call.ahead_lines = lines / larger(1, product.depth / source_block<T>) + 1;
            for (int64_t t = tiles.begin; t < tiles.end; t++) {
                const int64_t row = row_of(rows, t), end = row_of(rows, t + 1);
                call.source = source.data + row * source_block<T>;
                call.ahead = ahead + t * lines * 64;
                for (int64_t p = 0; p < count; p++) {
                    const Product::Panel &panel = product.panels[p];
                    const int64_t member = kernel_.group == 1 ? 0 : p;
                    call.result[p] =
                        register_at(member, panel.target) + (row - row_of(rows, tiles.begin)) * lanes<T>;
                    start(call, p, panel, block + member, row);
                }
                use_rows(end - row);
                (count == 2 ? multiply_of<T, 2>(call, end - row) : multiply_of<T, 1>(call, end - row))(call);
            }
            panels += at_.job.terms * numbers;
        }
    }

#if defined(CELLZOO_BFLOAT16)
    void round_sources(Range rows) const {
        int64_t done = 0;
        for (int64_t i = 0; i < kernel_.product_count; i++) {
            const Product &product = kernel_.products[i];
            if (product.place < done) continue;
            const ViewAt<T> &source = at_.views[product.source];
            round_rows(source.data + rows.begin * lanes<T>, source.stride, product.depth, rows.size(),
                       rounded() + product.place * rows.size(),
                       at_.job.terms == 2 ? rounded() + (kernel_.rounded_depth + product.place) * rows.size() : nullptr);
            done += packed_depth(product.depth);
        }
    }

    uint16_t *rounded() const { return reinterpret_cast<uint16_t *>(at_.memory.rounded); }

    // Offset so that rows are counted from row 0 of the step, although only `rows` were converted.
    ViewAt<uint16_t> source_of(const Product &product, Range rows) const {
        return {rounded() + product.place * rows.size() - rows.begin * tile_depth, rows.size() * tile_depth};
    }

    void use_terms(ProductCall<T> &call, int64_t panel_numbers, Range rows) const {
        call.splits = at_.job.terms == 2;
        call.panel_residuals = panel_numbers;
        call.source_residuals = kernel_.rounded_depth * rows.size();
    }

    void use_rows(int64_t rows) {
        if (rows == configured_rows_) return;
        configured_rows_ = rows;
        configure_tiles(smaller(rows, rows_of_tile), rows - rows_of_tile);
    }

    int64_t configured_rows_ = 0;
#else
    void round_sources(Range) const {}
    void use_terms(ProductCall<T> &, int64_t, Range) const {}
    void use_rows(int64_t) const {}
    const ViewAt<T> &source_of(const Product &product, Range) const { return at_.views[product.source]; }
#endif

    void multiply_unpacked(int64_t block, int64_t width, Range rows) {
        const int64_t count = kernel_.group == 1 ? 2 : width;
        for (int64_t i = 0; i < kernel_.product_count; i++) {
            const Product &product = kernel_.products[i];
            const ViewAt<T> &source = at_.views[product.source];
            ProductCall<T> call{};
            call.depth = product.depth;
            call.stride = source.stride;
            call.source = source.data + rows.begin * lanes<T>;
            for (int64_t p = 0; p < count; p++) {
                const Product::Panel &panel = product.panels[p];
                const Weight &weight = at_.job.plan->weights[panel.weight];
                const int64_t member = kernel_.group == 1 ? 0 : p;
                const int64_t unit = (block + member) * lanes<T>;
                call.result[p] = register_at(member, panel.target);
                start(call, p, panel, block + member, rows.begin);
                multiply_directly<T>(call, p, rows.size(),
                                     static_cast<const T *>(at_.job.call->weights[panel.weight]) +
                                         unit * weight.columns,
                                     smaller(lanes<T>, weight.rows - unit));
            }
        }
    }

    void start(ProductCall<T> &call, int64_t p, const Product::Panel &panel, int64_t block, int64_t row) const {
        alignas(vector_bytes) static constexpr T zeros[lanes<T>] = {};
        call.step[p] = lanes<T>;
        switch (panel.init) {
            case Init::accumulate: call.initial[p] = call.result[p]; break;
            case Init::zero:
                call.initial[p] = zeros;
                call.step[p] = 0;
                break;
            case Init::view: {
                const ViewAt<T> &view = at_.views[panel.index];
                call.initial[p] = view.data + block * view.stride + row * lanes<T>;
                break;
            }
            case Init::vector:
                call.initial[p] = reinterpret_cast<const T *>(at_.job.vectors[panel.index]) + block * lanes<T>;
                call.step[p] = 0;
                break;
        }
    }

    void run_program(int64_t block, int64_t member, Range rows) const {
        const Frame<T> frame{at_,   register_at(member, 0), super_rows * lanes<T>, kernel_.size,
                             block, rows.begin,             rows.size()};
        for (int64_t i = 0; i < kernel_.instruction_count; i++) run_instruction(frame, kernel_.instructions[i]);
    }

    const Position<T> &at_;
    const Kernel &kernel_;
    const Packed<T> *const pack_;
    T *const registers_;
    int64_t tiles_ = 0;
};

}  // namespace
}  // namespace cellzoo
