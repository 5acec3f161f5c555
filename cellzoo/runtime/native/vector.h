// Vector types of the instruction set that the including file is compiled for. Everything is in an anonymous namespace
// and uses no std templates, as the linker might otherwise use code of one instruction set in another's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "plan.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace cellzoo {
namespace {

#if defined(CELLZOO_BFLOAT16)
constexpr int64_t vector_bytes = 64;
constexpr int64_t tile_rows = 32;  // rows of a micro-kernel call: its register block
#elif defined(__AVX512F__)
constexpr int64_t vector_bytes = 64;
constexpr int64_t tile_rows = 12;
#elif defined(__AVX2__)
constexpr int64_t vector_bytes = 32;
constexpr int64_t tile_rows = 6;
#else
constexpr int64_t vector_bytes = 16;
constexpr int64_t tile_rows = 6;
#endif

// Micro-kernel calls in a row with the same weight panels, which stay in the cache meanwhile. The kernel's registers
// have super_rows rows.
#if defined(CELLZOO_BFLOAT16)
constexpr int64_t super_tiles = 2;
#else
constexpr int64_t super_tiles = 4;
#endif
constexpr int64_t super_rows = super_tiles * tile_rows;

template <class T>
struct VectorTypes;

template <>
struct VectorTypes<float> {
    typedef float Vector __attribute__((vector_size(vector_bytes), may_alias));
    typedef float Unaligned __attribute__((vector_size(vector_bytes), may_alias, aligned(4)));
    typedef int32_t Integers __attribute__((vector_size(vector_bytes), may_alias));
};

template <>
struct VectorTypes<double> {
    typedef double Vector __attribute__((vector_size(vector_bytes), may_alias));
    typedef double Unaligned __attribute__((vector_size(vector_bytes), may_alias, aligned(8)));
    typedef int64_t Integers __attribute__((vector_size(vector_bytes), may_alias));
};

template <class T>
using Vector = typename VectorTypes<T>::Vector;

template <class T>
using Integers = typename VectorTypes<T>::Integers;

template <class T>
constexpr int64_t lanes = vector_bytes / int64_t(sizeof(T));

template <class T>
constexpr int64_t blocks_of(int64_t size) {
    return (size + lanes<T> - 1) / lanes<T>;
}

// The type of the factors of products. With bfloat16, the depth is padded with zeros to whole tiles.
#if defined(CELLZOO_BFLOAT16)
constexpr bool rounds = true;
template <class T>
using Packed = uint16_t;
#else
constexpr bool rounds = false;
template <class T>
using Packed = T;
#endif

template <class T>
constexpr int64_t packed_lanes = vector_bytes / int64_t(sizeof(Packed<T>));

// Units of a source that are contiguous in a row.
template <class T>
constexpr int64_t source_block = rounds ? tile_depth : lanes<T>;

constexpr int64_t packed_depth(int64_t depth) { return rounds ? padded_depth_of(depth) : depth; }

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

template <class T>
inline Vector<T> load(const T *from) {
    return *reinterpret_cast<const Vector<T> *>(from);
}

template <class T>
inline void store(T *to, Vector<T> value) {
    *reinterpret_cast<Vector<T> *>(to) = value;
}

// Non-temporal store, which bypasses the cache: for data that is read much later. Call `finish_streaming` before another
// thread reads it.
template <class T>
inline void stream(T *to, Vector<T> value) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i *>(to), (__m512i)value);
#elif defined(__AVX2__)
    _mm256_stream_si256(reinterpret_cast<__m256i *>(to), (__m256i)value);
#else
    store(to, value);
#endif
}

inline void finish_streaming() {
#if defined(__AVX512F__) || defined(__AVX2__)
    _mm_sfence();
#endif
}

// For memory that is aligned to the size of a number only.
template <class T>
inline Vector<T> load_unaligned(const T *from) {
    return *reinterpret_cast<const typename VectorTypes<T>::Unaligned *>(from);
}

template <class T>
inline void store_unaligned(T *to, Vector<T> value) {
    *reinterpret_cast<typename VectorTypes<T>::Unaligned *>(to) = value;
}

// Loads the first `count` lanes; the others are zero.
template <class T>
inline Vector<T> load_part(const T *from, int64_t count) {
    if (count == lanes<T>) return load_unaligned(from);
    Vector<T> value{};
    for (int64_t lane = 0; lane < count; lane++) value[lane] = from[lane];
    return value;
}

template <class T>
inline void store_part(T *to, Vector<T> value, int64_t count) {
    if (count == lanes<T>) return store_unaligned(to, value);
    for (int64_t lane = 0; lane < count; lane++) to[lane] = value[lane];
}

template <class T>
inline Vector<T> broadcast(T value) {
    return value - Vector<T>{};
}

template <class T>
inline T sum_lanes(Vector<T> value, int64_t count) {
    T sum = 0;
    for (int64_t lane = 0; lane < count; lane++) sum += value[lane];
    return sum;
}

}  // namespace
}  // namespace cellzoo
