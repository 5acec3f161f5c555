// Transposition of a square block of vectors.
#pragma once

#include "vector.h"

namespace cellzoo {
namespace {

// Interleaves the lanes of a and b from lane `from` on: a[from], b[from], a[from + 1], b[from + 1], ...
template <class T, int64_t from>
inline Vector<T> interleave(Vector<T> a, Vector<T> b) {
#if defined(__clang__)
    Vector<T> mixed;  // LLVM compiles this to one shuffle
#pragma GCC unroll 16
    for (int64_t i = 0; i < lanes<T>; i++) mixed[i] = i % 2 == 0 ? a[from + i / 2] : b[from + i / 2];
    return mixed;
#else
    Integers<T> order;
    for (int64_t i = 0; i < lanes<T>; i++) order[i] = from + i / 2 + (i % 2) * lanes<T>;
    return __builtin_shuffle(a, b, order);
#endif
}

// Each round is a perfect shuffle of the rows; log2(lanes) of them transpose the square.
template <class T>
inline void transpose(Vector<T> (&rows)[lanes<T>]) {
#pragma GCC unroll 4
    for (int64_t round = 1; round < lanes<T>; round *= 2) {
        Vector<T> mixed[lanes<T>];
#pragma GCC unroll 8
        for (int64_t i = 0; i < lanes<T> / 2; i++) {
            mixed[2 * i] = interleave<T, 0>(rows[i], rows[i + lanes<T> / 2]);
            mixed[2 * i + 1] = interleave<T, lanes<T> / 2>(rows[i], rows[i + lanes<T> / 2]);
        }
#pragma GCC unroll 16
        for (int64_t i = 0; i < lanes<T>; i++) rows[i] = mixed[i];
    }
}

}  // namespace
}  // namespace cellzoo
