#include "team.h"

#include <thread>
#include <vector>

namespace cellzoo {
namespace {

void wait_for_team(Team *team) {
    const int64_t round = team->round.load(std::memory_order_relaxed);
    if (team->arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == team->threads) {
        team->arrived.store(0, std::memory_order_relaxed);
        team->round.store(round + 1, std::memory_order_release);
        return;
    }
    // Long enough for threads that run; where there are more threads than processors the others need this one.
    constexpr int spins = 2000;
    for (int i = 0; team->round.load(std::memory_order_acquire) == round; i++) {
        if (i >= spins) std::this_thread::yield();
#if defined(__x86_64__)
        else __builtin_ia32_pause();
#endif
    }
}

}  // namespace

void run_team(const Engine &engine, Job job) {
    auto run = engine.run[job.call->dtype];
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    auto wait_and_run = [&](int64_t thread) {
        while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
        run(job, thread);
    };
    try {
        threads.reserve(size_t(job.threads));
        for (int64_t t = 1; t < job.threads; t++) threads.emplace_back(wait_and_run, t);
    } catch (...) {
        // No more threads or no more memory: those that there are do it all. They must be joined whatever happened.
    }
    job.threads = int64_t(threads.size()) + 1;
    Team team(job.threads);
    job.team = &team;
    job.wait = wait_for_team;
    go.store(true, std::memory_order_release);
    run(job, 0);
    for (std::thread &thread : threads) thread.join();
}

}  // namespace cellzoo
