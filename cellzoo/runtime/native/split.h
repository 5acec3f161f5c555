// How the work of one call is split into parts, each of which one thread takes at a time.
#pragma once

#include <vector>

#include "job.h"

namespace cellzoo {

// A part has rows of the batch, and of every kernel a range of units. Rows are independent: they need no waiting
// within a walk over steps, but each part reads all weights. Units need it at every product, and share the weights out.
// Results depend on the split, and the split on sizes and the number of threads alone.
class Split {
  public:
    Split(const Plan &plan, const cellzoo_call &call, const Engine &engine, bool backward);

    int64_t parts() const { return row_parts_ * column_parts_; }
    int64_t row_parts() const { return row_parts_; }
    int64_t column_parts() const { return column_parts_; }
    // Most rows of an input phase.
    int64_t stretch_rows() const { return stretch_rows_; }
    const std::vector<Stretch> &stretches() const { return stretches_; }
    const std::vector<int64_t> &bounds() const { return bounds_; }

  private:
    void choose(const Plan &plan, const cellzoo_call &call, const Engine &engine, bool backward);
    void cut(const cellzoo_call &call);

    int64_t row_parts_ = 1, column_parts_ = 1, stretch_rows_ = 0;
    std::vector<Stretch> stretches_;
    std::vector<int64_t> bounds_;
};

}  // namespace cellzoo
