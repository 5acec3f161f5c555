// The prepared form of one call, shared by the code of all instruction sets.
#pragma once

#include <cstdint>

#include "api.h"
#include "plan.h"

namespace cellzoo {

// A buffer in blocked layout: [unit block][row][lane]. The rows of a unit block are contiguous, so elementwise code
// runs over contiguous memory, and the rows form a ready-made panel for products over rows.
struct Place {
    char *data;
    int64_t rows;  // stride between unit blocks
};

// Scratch memory of one part of the work.
struct PartMemory {
    char *registers;
    char *views;
    char *rounded;         // sources of a kernel's products in bfloat16
    char *touched;         // by weight: whether this part has written its gradient
    char *panels;          // of deltas and sources in bfloat16
    char *panels_done;     // by offset of a panel: whether it has been converted
    char *masked;          // panel of a weight gradient's source times its mask
    char *const *vectors;  // partial sums of REDUCE_ROWS by weight, null for other weights
    double *scalars;       // partial sums of REDUCE_ALL by weight
    double *parameters;    // partial sums of the mixture parameters' gradients
};

// Consecutive steps that share one input phase.
struct Segment {
    int64_t from, to;     // positions in the order of execution
    int64_t first, last;  // step numbers
};

struct Team;

// The state of one thread of a team.
struct Member {
    int64_t thread;
    int64_t phase;  // number of the current phase, from 0; phases end with a barrier
    int64_t part;   // the part it took last in this phase, -1 for none
};

// Results of `Job::next` other than a part: the phase is complete, or the call has ended without this thread.
constexpr int64_t all_done = -1, closed = -2;

struct Job {
    const Plan *plan;
    const cellzoo_call *call;
    const double *constants;
    bool backward;
    int64_t row_parts, column_parts;  // each part is a range of rows and a range of unit blocks
    const Segment *segments;
    int64_t segment_count;
    const int64_t *bounds;       // by segment: first row of each row part, and the end
    int64_t terms;               // bfloat16 numbers that represent one factor of a product, 1 or 2
    const int64_t *offsets;      // first packed row of each step, and N
    const int32_t *row_of;       // packed row -> row within its step; null without masks
    const Place *buffers;
    char *const *packs;          // packed weights by kernel, null for the other direction and if not packed
    char *const *vectors;        // padded vector weights by index
    const PartMemory *memory;    // by part
    Team *team;
    // Finishes the member's last part and returns its next one; waits for the other threads and returns `all_done` when
    // the phase is complete.
    int64_t (*next)(Team *, Member &);

    int64_t parts() const { return row_parts * column_parts; }
};

// The code of one instruction set.
struct Engine {
    int64_t lanes[2];    // by dtype
    int64_t super_rows;  // maximum rows of a register block
    bool rounds;         // products have bfloat16 factors
    bool (*run[2])(const Job &job, int64_t thread);  // by dtype; false if the call ended without this thread
};

constexpr int64_t view_bytes = 16;       // size of ViewAt
constexpr int64_t rounded_bytes = 2;     // size of a bfloat16 number

// Number of bfloat16 terms of a factor. In forward passes with discontinuous derivatives it is two: with one, the
// rounding error would move many units across the discontinuity. Gradients tolerate a single term.
inline int64_t terms_of(const Plan &plan, bool rounds, bool backward) {
    return rounds && !backward && plan.has_kinks ? 2 : 1;
}

constexpr int64_t input_tiles = 4;         // an input phase processes input_tiles * super_rows rows at a time
constexpr int64_t gradient_rows = 512;     // rows that are added to a weight gradient at a time
constexpr int64_t gradient_vectors = 3;    // source vectors of its register block
constexpr int64_t most_unpacked_rows = 4;  // up to so many rows, forward calls read weights unpacked

#if defined(__x86_64__) || defined(_M_X64)
extern const Engine avx2_engine;
extern const Engine avx512_engine;
extern const Engine amx_engine;
#endif
extern const Engine baseline_engine;

}  // namespace cellzoo
