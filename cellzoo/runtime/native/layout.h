// Memory layout of one call: offsets of all buffers in the two workspaces (`saved` and `scratch`).
#pragma once

#include <vector>

#include "split.h"

namespace cellzoo {

// Bump allocator. With a null base it only computes the size.
class Workspace {
  public:
    explicit Workspace(void *base) : base_(static_cast<char *>(base)) {}

    char *take(int64_t bytes) {
        char *place = base_ == nullptr ? nullptr : base_ + used_;
        used_ += (bytes + 63) / 64 * 64;
        if (used_ > most) used_ = most;
        return place;
    }

    // Sizes saturate here, above any real memory.
    static constexpr int64_t most = int64_t(1) << 61;

    int64_t used() const { return used_; }

  private:
    char *base_;
    int64_t used_ = 0;
};

class Layout {
  public:
    // The call's workspaces may be null if only the sizes are needed.
    Layout(const Plan &plan, const cellzoo_call &call, const Engine &engine, bool backward);

    bool is_possible() const { return saved_.used() < Workspace::most && scratch_.used() < Workspace::most; }
    int64_t saved_bytes() const { return saved_.used(); }
    int64_t scratch_bytes() const { return scratch_.used(); }

    // The job refers to this object, which must outlive it.
    Job job(const double *constants) const;

  private:
    void place_buffers();
    void place_packs();
    void place_vectors();
    void place_parts();
    int64_t row_bytes(int64_t size) const;

    const Plan &plan_;
    const cellzoo_call &call_;
    const Engine &engine_;
    const bool backward_;
    const int64_t lanes_, number_bytes_, terms_;
    const Split split_;
    Workspace saved_, scratch_;
    std::vector<int64_t> offsets_;
    std::vector<int32_t> row_of_;
    std::vector<Place> buffers_;
    std::vector<char *> packs_, vectors_;
    std::vector<std::vector<char *>> sums_;
    std::vector<PartMemory> parts_;
};

}  // namespace cellzoo
