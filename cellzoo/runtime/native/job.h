// What the library prepares for one call and the kernels of every instruction set read.
#pragma once

#include <cstdint>

#include "api.h"
#include "plan.h"

namespace cellzoo {

// A buffer in blocked layout: [block of units][row][lane]. Rows of one unit block are contiguous, so a run of rows
// is a contiguous run of numbers for elementwise work, and a column panel for products over rows.
struct Place {
    char *data;
    int64_t rows;  // from one block of units to the next
};

// What belongs to one part of the work alone.
struct PartMemory {
    char *registers;
    char *views;
    char *rounded;         // sources of a kernel's products, rounded to bfloat16
    char *touched;         // by weight: whether its gradient was written
    char *panels;          // of deltas and sources, rounded to bfloat16
    char *panels_done;     // by block of units: whether the panels that begin there are made
    char *masked;          // panel of a weight gradient's source times its mask
    char *const *vectors;  // sums for REDUCE_ROWS by weight, null for other weights
    double *scalars;       // sums for REDUCE_ALL by weight
    double *parameters;    // sums for the gradients of parameters
};

// Steps that are walked between two input phases.
struct Stretch {
    int64_t from, to;     // in the order of the walk
    int64_t first, last;  // by number
};

struct Team;

// Where a thread of a team is.
struct Member {
    int64_t thread;
    int64_t phase;  // of the walk, counted from 0
    int64_t part;   // that it took last, -1 for none of this phase
};

// What comes instead of a part.
constexpr int64_t all_done = -1, closed = -2;

struct Job {
    const Plan *plan;
    const cellzoo_call *call;
    const double *constants;
    bool backward;
    int64_t row_parts, column_parts;  // every part has a range of either
    const Stretch *stretches;
    int64_t stretch_count;
    const int64_t *bounds;       // by stretch: where the rows of each part begin, and the end
    int64_t terms;               // that numbers in products are split into
    const int64_t *offsets;      // first packed row of each step, and N
    const int32_t *row_of;       // packed row -> row within its step; null without masks
    const Place *buffers;
    char *const *packs;          // packed weights by kernel, null outside this direction, and if not packed
    char *const *vectors;        // padded vector weights by number
    const PartMemory *memory;    // by part
    Team *team;
    // The next part of the member's phase to do; `all_done` when all are done by whomever, and the next phase begins;
    // `closed` when the call is over.
    int64_t (*next)(Team *, Member &);

    int64_t parts() const { return row_parts * column_parts; }
};

// The compiled kernels of one instruction set.
struct Engine {
    int64_t lanes[2];    // by dtype
    int64_t super_rows;  // most rows whose registers are kept at once
    bool rounds;         // products are computed from bfloat16
    bool (*run[2])(const Job &job, int64_t thread);  // whether the thread was there until the end
};

constexpr int64_t view_bytes = 16;       // of a view at the rows of the current step
constexpr int64_t rounded_bytes = 2;     // of a number in bfloat16

// Where a derivative jumps, numbers in the forward products are the sums of two bfloat16: one alone would put many
// units on the other side. Gradients bear it.
inline int64_t terms_of(const Plan &plan, bool rounds, bool backward) {
    return rounds && !backward && plan.has_kinks ? 2 : 1;
}

constexpr int64_t input_tiles = 4;       // of super_rows: so many go through an input phase together
constexpr int64_t gradient_rows = 512;   // rows of one pass over a weight gradient
constexpr int64_t gradient_vectors = 3;  // source blocks of its tile
constexpr int64_t most_unpacked_batch = 1;  // of a forward call's steps
constexpr int64_t most_unpacked_rows = 4;  // of its input phase

#if defined(__x86_64__) || defined(_M_X64)
extern const Engine avx2_engine;
extern const Engine avx512_engine;
extern const Engine amx_engine;
#endif
extern const Engine baseline_engine;

}  // namespace cellzoo
