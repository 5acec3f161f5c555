// Tile registers of AMX: 0 to 3 hold sums, 4 and 5 rows of the source, 6 and 7 panels.
#pragma once

#include "vector.h"

namespace cellzoo {
namespace {

constexpr int64_t rows_of_tile = 16;

// A compiler barrier, as compilers do not know which memory the tile instructions access.
inline void order_memory() { asm volatile("" ::: "memory"); }

// Gives tiles 0, 1 and 4 `first` rows, and tiles 2, 3 and 5 `second` rows (at most 0 if they are unused).
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
