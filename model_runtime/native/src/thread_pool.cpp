#include "thread_pool.h"

#include <system_error>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace {

constexpr int SPINS = 2000;  // some tens of microseconds, the length of a chunk
constexpr int CHUNK_BITS = 20;
constexpr uint64_t CHUNK_MASK = (uint64_t{1} << CHUNK_BITS) - 1;
constexpr uint32_t NUMBER_MASK = (uint32_t{1} << (64 - 2 * CHUNK_BITS)) - 1;

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
    asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::~ThreadPool() { resize(1); }

void ThreadPool::resize(int threads) {
    const size_t wanted = static_cast<size_t>(threads > 1 ? threads - 1 : 0);
    if (wanted < workers_.size()) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            for (size_t i = wanted; i < stops_.size(); ++i) *stops_[i] = true;
        }
        started_.notify_all();
        for (size_t i = wanted; i < workers_.size(); ++i) workers_[i].join();
        workers_.resize(wanted);
        stops_.resize(wanted);
    }
    while (workers_.size() < wanted) {
        stops_.push_back(std::make_unique<bool>(false));
        const int thread = static_cast<int>(workers_.size()) + 1;
        bool& stop = *stops_.back();
        try {
            workers_.emplace_back([this, thread, &stop] { work(thread, stop); });
        } catch (const std::system_error&) {  // the system refuses more: go on with those that there are
            stops_.pop_back();
            return;
        }
    }
}

void ThreadPool::run(Pass& pass) {
    const int count = pass.stages();
    if (workers_.empty()) {
        for (int stage = 0; stage < count; ++stage)
            for (int chunk = 0; chunk < pass.chunks(stage); ++chunk) pass.run(stage, chunk, 0);
        return;
    }
    uint32_t number;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        number = (number_ + 1) & NUMBER_MASK;
        pass_ = &pass;
        stage_count_ = count;
        for (int stage = 0; stage < count; ++stage) {
            const uint64_t chunks = static_cast<uint64_t>(pass.chunks(stage));
            stages_[stage].done = 0;
            stages_[stage].claims = uint64_t{number} << 2 * CHUNK_BITS | chunks << CHUNK_BITS;
        }
        number_ = number;
    }
    started_.notify_all();
    take_part(number, 0);
}

void ThreadPool::work(int thread, const bool& stop) {
    uint32_t seen = 0;
    while (true) {
        for (int spin = 0; spin < SPINS && number_ == seen; ++spin) pause();
        {
            std::unique_lock<std::mutex> lock(mutex_);
            started_.wait(lock, [&] { return stop || number_ != seen; });
            if (stop) return;
            seen = number_;
        }
        take_part(seen, thread);
    }
}

void ThreadPool::take_part(uint32_t number, int thread) {
    const int count = stage_count_;
    for (int at = 0; at < count; ++at) {
        Stage& stage = stages_[at];
        uint64_t claims = stage.claims;
        while (true) {
            if (claims >> 2 * CHUNK_BITS != number) return;
            const uint64_t chunk = claims & CHUNK_MASK;
            if (chunk >= (claims >> CHUNK_BITS & CHUNK_MASK)) break;
            if (!stage.claims.compare_exchange_weak(claims, claims + 1)) continue;
            pass_.load()->run(at, static_cast<int>(chunk), thread);
            stage.done.fetch_add(1);
            claims = stage.claims;
        }
        if (!wait_for(stage, number)) return;
    }
}

// Whether the pass goes on after the stage, whose chunks are all claimed; false if the pass is over.
bool ThreadPool::wait_for(const Stage& stage, uint32_t number) const {
    for (int spin = 0;; ++spin) {
        const uint64_t claims = stage.claims;
        if (claims >> 2 * CHUNK_BITS != number) return false;
        if (stage.done == (claims >> CHUNK_BITS & CHUNK_MASK)) return true;
        if (spin < SPINS) pause();
        else std::this_thread::yield();
    }
}
