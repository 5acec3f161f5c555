#include "team.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

namespace cellzoo {
namespace {

using Clock = std::chrono::steady_clock;

// The thread that ran a part before has its weights in the cache, so others wait a moment before they steal it.
constexpr auto steal_delay = std::chrono::microseconds(1);
// A thread that spins longer probably waits for one that is not scheduled, so it sleeps and yields its processor.
constexpr auto longest_spin = std::chrono::microseconds(50);
constexpr int64_t spins_before_clock = 8;

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// The worker threads of this process. They serve one call at a time; concurrent calls run on their own thread alone.
struct Workers {
    std::mutex mutex;
    std::condition_variable calls;     // signals a new call
    std::condition_variable progress;  // signals that a phase or the call has ended, or that the last worker has left
    Team *team = nullptr;              // of the current call
    int64_t number = 0;                // of the current call, from 1
    int64_t seats = 0;                 // workers that may still join the call
    std::atomic<int64_t> inside{0};    // workers that may access the call's memory; changed under the lock
    int64_t threads = 0;
    const int64_t processors = std::max(1U, std::thread::hardware_concurrency());

    void leave(int64_t call) {
        if (--inside == 0 && is_over(call)) progress.notify_all();
    }
    bool is_over(int64_t call) const { return team == nullptr || number != call; }
};

std::atomic<Workers *> workers{nullptr};

// Claim on one part. On a cache line of its own, against false sharing.
struct alignas(64) Claim {
    std::atomic<int64_t> phase{0};  // the next phase in which the part can be taken
};

}  // namespace

struct Team {
    const Engine &engine;
    const Job &job;
    Workers *workers;  // null if the caller runs alone
    const std::unique_ptr<Claim[]> claims;
    int64_t number = 0;  // of the call
    int64_t next_thread = 1;
    alignas(64) std::atomic<int64_t> done{0};  // finished parts, of all phases
    std::atomic<int64_t> sleepers{0};          // threads that wait for `progress`

    bool take(int64_t part, int64_t phase) {
        std::atomic<int64_t> &claim = claims[size_t(part)].phase;
        return claim.load(std::memory_order_relaxed) == phase &&
               claim.compare_exchange_strong(phase, phase + 1, std::memory_order_acq_rel, std::memory_order_relaxed);
    }

    bool take_any(Member &member) {
        for (int64_t i = 1; i <= job.parts(); i++) {
            const int64_t part = (member.thread + i) % job.parts();
            if (!take(part, member.phase)) continue;
            member.part = part;
            return true;
        }
        return false;
    }
};

namespace {

// Sleeps until the phase has ended; false if the call has ended, after which its memory must not be accessed.
bool sleep(Team *team, const Member &member, int64_t target) {
    Workers &all = *team->workers;
    const int64_t number = team->number;
    std::unique_lock<std::mutex> lock(all.mutex);
    // A sleeping worker does not count as inside, so that the caller can return without waking it.
    const bool is_worker = member.thread != 0;
    if (is_worker) all.leave(number);
    while (!all.is_over(number)) {
        team->sleepers.fetch_add(1);
        const bool is_done = team->done.load() >= target;
        if (!is_done) all.progress.wait(lock);
        if (all.is_over(number)) break;
        team->sleepers.fetch_sub(1);
        if (!is_done) continue;
        all.inside += is_worker;
        return true;
    }
    return false;
}

int64_t next_part(Team *team, Member &member) {
    const int64_t target = (member.phase + 1) * team->job.parts();
    const auto is_done = [&] { return team->done.load(std::memory_order_acquire) >= target; };
    const auto next_phase = [&] {
        member.phase++;
        member.part = -1;
        return all_done;
    };
    if (member.part >= 0) {
        if (team->done.fetch_add(1) + 1 == target && team->sleepers.load() > 0) {
            std::lock_guard<std::mutex> lock(team->workers->mutex);
            team->workers->progress.notify_all();
        }
    } else if (team->take(member.thread, member.phase)) return member.part = member.thread;
    if (team->workers == nullptr) return team->take_any(member) ? member.part : next_phase();
    Clock::time_point begun;
    bool some_are_left = true;
    for (int64_t i = 0;; i++) {
        if (is_done()) return next_phase();
        pause();
        if (i < spins_before_clock) continue;
        const auto now = Clock::now();
        if (i == spins_before_clock) begun = now;
        if (some_are_left && now - begun > steal_delay) {
            if (team->take_any(member)) return member.part;
            some_are_left = false;
        }
        if (now - begun > longest_spin && !sleep(team, member, target)) return closed;
    }
}

void work(Workers *all) {
    std::unique_lock<std::mutex> lock(all->mutex);
    for (;;) {
        all->calls.wait(lock, [&] { return all->team != nullptr && all->seats > 0; });
        Team *team = all->team;
        const int64_t number = all->number, thread = team->next_thread++;
        all->seats--;
        all->inside++;
        lock.unlock();
        const bool is_inside = team->engine.run[team->job.call->dtype](team->job, thread);
        lock.lock();
        if (is_inside) all->leave(number);
    }
}

// Null if there can be none.
Workers *workers_of_process() {
    Workers *found = workers.load(std::memory_order_acquire);
    if (found != nullptr) return found;
#if !defined(_WIN32)
    // A forked child has none of the threads, and their shared state may be inconsistent: it is abandoned.
    if (pthread_atfork(nullptr, nullptr, [] { workers.store(nullptr); }) != 0) return nullptr;
#endif
    auto created = std::make_unique<Workers>();
    if (workers.compare_exchange_strong(found, created.get(), std::memory_order_acq_rel)) found = created.release();
    return found;
}

// Offers the call to the workers; false if they serve another one.
bool open(Workers &all, Team &team, int64_t wanted) {
    std::lock_guard<std::mutex> lock(all.mutex);
    if (all.team != nullptr) return false;
    try {
        for (; all.threads < wanted; all.threads++) std::thread(work, &all).detach();
    } catch (...) {
        // No more threads or no more memory: make do with those that exist.
    }
    all.team = &team;
    team.number = ++all.number;
    all.seats = std::min(wanted, all.threads);
    for (int64_t i = 0; i < all.seats; i++) all.calls.notify_one();
    return true;
}

// Ends the call; when it returns, no worker accesses the call's memory any more.
void close(Workers &all) {
    {
        std::lock_guard<std::mutex> lock(all.mutex);
        all.team = nullptr;
        all.seats = 0;
        all.progress.notify_all();
    }
    const auto end = Clock::now() + longest_spin;
    while (all.inside.load() > 0 && Clock::now() < end) pause();
    std::unique_lock<std::mutex> lock(all.mutex);
    all.progress.wait(lock, [&] { return all.inside.load() == 0; });
}

}  // namespace

void run_team(const Engine &engine, Job job, int64_t threads) {
    const auto run = engine.run[job.call->dtype];
    if (job.parts() == 1) {
        run(job, 0);
        return;
    }
    Workers *const all = workers_of_process();
    const int64_t wanted = all == nullptr ? 0 : std::min({threads, job.parts(), all->processors}) - 1;
    Team team{engine, job, all, std::make_unique<Claim[]>(size_t(job.parts()))};
    job.team = &team;
    job.next = next_part;
    if (wanted > 0 && open(*all, team, wanted)) {
        run(job, 0);
        close(*all);
    } else {
        team.workers = nullptr;
        run(job, 0);
    }
}

}  // namespace cellzoo
