// How the work of a kernel is shared out between threads.
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

// What a thread owns of every kernel of one size: units first, rows too where there are more threads than pairs of
// blocks of units.
struct Share {
    Range blocks;
    int64_t row_index, row_parts;
};

template <class T>
Share share_of(int64_t size, int64_t thread, int64_t threads) {
    const int64_t blocks = blocks_of<T>(size), pairs = (blocks + 1) / 2;
    const int64_t columns = smaller(threads, pairs), row_parts = threads / columns;
    if (thread >= columns * row_parts) return {{0, 0}, 0, 1};
    const Range range = part_of(pairs, thread % columns, columns);
    return {{2 * range.begin, smaller(blocks, 2 * range.end)}, thread / columns, row_parts};
}

}  // namespace
}  // namespace cellzoo
