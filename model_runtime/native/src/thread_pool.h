// Runs the stages of a forward pass in several threads.
//
// A stage is cut into chunks, which the threads claim one by one. Nobody waits for a thread as such, only for chunks:
// on a busy machine, one that the operating system has taken off its core delays the others by no more than the chunk
// that it holds. Between stages, threads spin for some microseconds and then yield; between passes, they sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

class ThreadPool {
public:
    // What a pass does: stages in order, each with a number of chunks.
    class Pass {
    public:
        virtual ~Pass() = default;
        virtual int stages() const = 0;
        virtual int chunks(int stage) const = 0;  // at least 1
        virtual void run(int stage, int chunk, int thread) = 0;
    };

    // Args: the most stages of a pass.
    explicit ThreadPool(int stages) : stages_(std::make_unique<Stage[]>(static_cast<size_t>(stages))) {}
    ~ThreadPool();

    int threads() const { return static_cast<int>(workers_.size()) + 1; }

    // The caller is one of them. Not during `run`.
    void resize(int threads);

    // Run all stages of a pass; returns when they are done.
    void run(Pass& pass);

private:
    // The claims of a stage: the low 20 bits are the next chunk, the next 20 the number of chunks, and the rest the
    // pass. A thread that comes late, from a pass that is over, finds another pass there and leaves it alone.
    struct alignas(64) Stage {
        std::atomic<uint64_t> claims{0};
        std::atomic<uint32_t> done{0};
    };

    void work(int thread, const bool& stop);
    void take_part(uint32_t number, int thread);
    bool wait_for(const Stage& stage, uint32_t number) const;

    std::vector<std::thread> workers_;
    std::vector<std::unique_ptr<bool>> stops_;  // guarded by the mutex
    std::unique_ptr<Stage[]> stages_;
    std::atomic<Pass*> pass_{nullptr};
    std::atomic<int> stage_count_{0};
    std::atomic<uint32_t> number_{0};  // of the pass
    std::mutex mutex_;
    std::condition_variable started_;
};
