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

// Whoever had a part before has its weights in the cache, so it gets a moment to come for it. Who waits longer than
// the second waits for a thread without a processor, and gives up its own.
constexpr auto patience = std::chrono::microseconds(1), longest_spin = std::chrono::microseconds(50);
constexpr int64_t patient_looks = 8;  // before the first look at the clock

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// The threads of this process that help callers. One call has them at a time; others are run by their callers alone.
struct Helpers {
    std::mutex mutex;
    std::condition_variable calls;     // there is a call to help with
    std::condition_variable progress;  // a phase is done, the call is over, or the last helper has left it
    Team *team = nullptr;              // of the call
    int64_t number = 0;                // of the call, from 1
    int64_t seats = 0;                 // helpers that it still takes
    std::atomic<int64_t> inside{0};    // helpers that may read what belongs to the call; changed under the lock
    int64_t threads = 0;
    const int64_t processors = std::max(1U, std::thread::hardware_concurrency());

    void leave(int64_t call) {
        if (--inside == 0 && is_over(call)) progress.notify_all();
    }
    bool is_over(int64_t call) const { return team == nullptr || number != call; }
};

std::atomic<Helpers *> helpers{nullptr};

// Of one part, on a cache line of its own.
struct alignas(64) Claim {
    std::atomic<int64_t> phase{0};  // the next in which it can be taken
};

}  // namespace

struct Team {
    const Engine &engine;
    const Job &job;
    Helpers *helpers;  // null for a caller alone
    const std::unique_ptr<Claim[]> claims;
    int64_t number = 0;  // of the call
    int64_t next_thread = 1;
    alignas(64) std::atomic<int64_t> done{0};  // parts, of all phases
    std::atomic<int64_t> sleepers{0};          // members that wait for `progress`

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

// Until the phase has ended; false if the call has. What belongs to the call is there only until then.
bool sleep(Team *team, const Member &member, int64_t target) {
    Helpers &all = *team->helpers;
    const int64_t number = team->number;
    std::unique_lock<std::mutex> lock(all.mutex);
    // A helper that sleeps is not inside: the caller does not wait until it has woken.
    const bool is_helper = member.thread != 0;
    if (is_helper) all.leave(number);
    while (!all.is_over(number)) {
        team->sleepers.fetch_add(1);
        const bool is_done = team->done.load() >= target;
        if (!is_done) all.progress.wait(lock);
        if (all.is_over(number)) break;
        team->sleepers.fetch_sub(1);
        if (!is_done) continue;
        all.inside += is_helper;
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
            std::lock_guard<std::mutex> lock(team->helpers->mutex);
            team->helpers->progress.notify_all();
        }
    } else if (team->take(member.thread, member.phase)) return member.part = member.thread;
    if (team->helpers == nullptr) return team->take_any(member) ? member.part : next_phase();
    Clock::time_point begun;
    bool some_are_left = true;
    for (int64_t i = 0;; i++) {
        if (is_done()) return next_phase();
        pause();
        if (i < patient_looks) continue;
        const auto now = Clock::now();
        if (i == patient_looks) begun = now;
        if (some_are_left && now - begun > patience) {
            if (team->take_any(member)) return member.part;
            some_are_left = false;
        }
        if (now - begun > longest_spin && !sleep(team, member, target)) return closed;
    }
}

void help(Helpers *all) {
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

// Null where there can be none.
Helpers *helpers_of_process() {
    Helpers *found = helpers.load(std::memory_order_acquire);
    if (found != nullptr) return found;
#if !defined(_WIN32)
    // The child has none of the threads, and what they shared may be in the middle of a change: it is left behind.
    if (pthread_atfork(nullptr, nullptr, [] { helpers.store(nullptr); }) != 0) return nullptr;
#endif
    auto created = std::make_unique<Helpers>();
    if (helpers.compare_exchange_strong(found, created.get(), std::memory_order_acq_rel)) found = created.release();
    return found;
}

// Opens the call to helpers, if they are free.
bool open(Helpers &all, Team &team, int64_t wanted) {
    std::lock_guard<std::mutex> lock(all.mutex);
    if (all.team != nullptr) return false;
    try {
        for (; all.threads < wanted; all.threads++) std::thread(help, &all).detach();
    } catch (...) {
        // No more threads or no more memory: those that there are help.
    }
    all.team = &team;
    team.number = ++all.number;
    all.seats = std::min(wanted, all.threads);
    for (int64_t i = 0; i < all.seats; i++) all.calls.notify_one();
    return true;
}

// Nobody reads what belongs to the call any more.
void close(Helpers &all) {
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
    Helpers *const all = helpers_of_process();
    const int64_t wanted = all == nullptr ? 0 : std::min({threads, job.parts(), all->processors}) - 1;
    Team team{engine, job, all, std::make_unique<Claim[]>(size_t(job.parts()))};
    job.team = &team;
    job.next = next_part;
    if (wanted > 0 && open(*all, team, wanted)) {
        run(job, 0);
        close(*all);
    } else {
        team.helpers = nullptr;
        run(job, 0);
    }
}

}  // namespace cellzoo
