// Threads of one call: started for it and joined, so that nothing outlives it and a fork finds no threads.
#pragma once

#include <atomic>

#include "job.h"

namespace cellzoo {

// A barrier that is cheap where all threads arrive at about the same time.
struct Team {
    explicit Team(int64_t threads) : threads(threads) {}

    const int64_t threads;
    std::atomic<int64_t> arrived{0};
    std::atomic<int64_t> round{0};
};

// Runs the job; fewer threads than it names where no more can be started.
void run_team(const Engine &engine, Job job);

}  // namespace cellzoo
