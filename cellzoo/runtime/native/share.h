// Ranges of rows and unit blocks that belong to a part.
#pragma once

#include "vector.h"

namespace cellzoo {
namespace {

struct Range {
    int64_t begin, end;
    int64_t size() const { return end - begin; }
};

constexpr Range part_of(int64_t count, int64_t index, int64_t parts) {
    return {count * index / parts, count * (index + 1) / parts};
}

// The unit blocks that one of `parts` owns, the same for all kernels and buffers of a size. Pairs stay together.
template <class T>
Range blocks_of_part(int64_t size, int64_t index, int64_t parts) {
    const int64_t blocks = blocks_of<T>(size);
    const Range pairs = part_of((blocks + 1) / 2, index, parts);
    return {smaller(blocks, 2 * pairs.begin), smaller(blocks, 2 * pairs.end)};
}

}  // namespace
}  // namespace cellzoo
