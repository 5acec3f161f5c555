// The threads that do the parts of a call.
#pragma once

#include "job.h"

namespace cellzoo {

// Runs the job on the calling thread and on at most `threads - 1` others. What is computed does not depend on how many
// come: a thread that has nothing left to do takes over parts that nobody has begun, and nobody waits for threads that
// the system does not let run, unless they are in the middle of a part. A child of a fork begins without threads.
void run_team(const Engine &engine, Job job, int64_t threads);

}  // namespace cellzoo
