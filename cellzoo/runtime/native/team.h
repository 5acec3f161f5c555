// The thread pool that runs the parts of a call.
#pragma once

#include "job.h"

namespace cellzoo {

// Runs the job on the calling thread and at most `threads - 1` workers. Results do not depend on how many take part:
// a thread without work steals parts that have not begun, so that a worker that the system does not schedule delays
// nobody unless it is in the middle of a part. A forked child starts without workers.
void run_team(const Engine &engine, Job job, int64_t threads);

}  // namespace cellzoo
