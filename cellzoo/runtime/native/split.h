// Splits the work of one call into parts, the units of scheduling.
#pragma once

#include <vector>

#include "job.h"

namespace cellzoo {

// A part is a range of batch rows and, of every kernel, a range of units. Rows are independent: splitting them needs
// no barriers, but each part reads all weights. Splitting units needs a barrier before most products, but divides the
// weights among the parts. Results are deterministic: they depend on the split, which depends only on the sizes and
// the number of threads.
class Split {
  public:
    Split(const Plan &plan, const cellzoo_call &call, const Engine &engine, bool backward);

    int64_t parts() const { return row_parts_ * column_parts_; }
    int64_t row_parts() const { return row_parts_; }
    int64_t column_parts() const { return column_parts_; }
    // Maximum number of rows of an input phase.
    int64_t segment_rows() const { return segment_rows_; }
    const std::vector<Segment> &segments() const { return segments_; }
    const std::vector<int64_t> &bounds() const { return bounds_; }

  private:
    void choose(const Plan &plan, const cellzoo_call &call, const Engine &engine, bool backward);
    void cut(const cellzoo_call &call);

    int64_t row_parts_ = 1, column_parts_ = 1, segment_rows_ = 0;
    std::vector<Segment> segments_;
    std::vector<int64_t> bounds_;
};

}  // namespace cellzoo
