// Tile registers of AMX: four of sums, two of rows, two of panels.
#pragma once

#include "vector.h"

namespace cellzoo {
namespace {

constexpr int64_t rows_of_tile = 16;

// Compilers do not know what the instructions on tiles read and write.
inline void order_memory() { asm volatile("" ::: "memory"); }

// Tiles of sums 0 and 1 and of rows 4 have `first` rows, those of sums 2 and 3 and of rows 5 `second`, 0 for unused.
inline void configure_tiles(int64_t first, int64_t second) {
    struct alignas(64) {
        uint8_t palette = 1, start_row = 0, reserved[14] = {};
        uint16_t row_bytes[16] = {};
        uint8_t rows[16] = {};
    } shape;
    for (int tile = 0; tile < 8; tile++) {
        const bool is_second = tile == 2 || tile == 3 || tile == 5;
        shape.rows[tile] = uint8_t(tile >= 6 ? rows_of_tile : is_second ? larger(second, 1) : first);
        shape.row_bytes[tile] = 64;
    }
    order_memory();
    _tile_loadconfig(&shape);
}

inline void release_tiles() { _tile_release(); }

}  // namespace
}  // namespace cellzoo
