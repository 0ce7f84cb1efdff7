// The forward pass of a decoder: which stages it has, and which part of each a chunk computes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.h"
#include "thread_pool.h"

struct AlignedDelete {
    void operator()(void* memory) const;
};

// Zeroed memory, aligned for every vector.
template <class T>
using Buffer = std::unique_ptr<T[], AlignedDelete>;

struct FimbleDecoder final : private ThreadPool::Pass {
public:
    FimbleDecoder(const FimbleConfig& config, const FimbleWeights& weights, const Kernels& kernels);

    void set_threads(int threads);
    int64_t block_bytes() const;
    void forward(const int32_t* tokens, int count, int start, uint16_t* const* blocks, bool all_logits, float* logits);

    const FimbleConfig config;

private:
    enum class Kind : int32_t {
        norm, qkv, rotate, attend, quantize_attention, attention_out, mlp_norm, mlp_up, activate, mlp_down, final, head
    };
    struct Rows {  // of floats, one for each token of a batch
        Buffer<float> values;
        int stride;
        float* operator[](int row) const { return values.get() + static_cast<int64_t>(row) * stride; }
    };
    struct Quantized {
        Buffer<int16_t> values;
        Buffer<float> scales;
        Buffer<int32_t> sums;
        Activations view;
    };

    int stages() const override { return static_cast<int>(kinds_.size()) * config.layers + (with_logits_ ? 2 : 0); }
    int chunks(int stage) const override;
    void run(int stage, int chunk, int thread) override;

    Kind kind(int stage) const;
    int tokens_with_logits() const { return all_logits_ ? batch_ : 1; }
    int units(Kind kind) const;
    const FimbleMatrix& matrix_of(Kind kind, int layer) const;
    void embed(const int32_t* tokens);
    void set_angles();
    void normalize(int row, const float* weight, const float* bias, int into);
    void quantize(Quantized& into, int row, const float* values);
    void rotate_and_store(int layer, int row);
    void attend(int layer, int unit, int thread);
    void activate(int row);
    void multiply(Kind kind, int layer, int first, int last);
    int64_t head_size() const;
    Rows rows(int count, int width) const;
    Quantized quantized(int count, int width) const;
    void make_room(int count, int visible);

    const float* padded_copy(const float* values, int count);

    std::vector<Buffer<float>> copies_;
    FimbleWeights weights_;
    std::vector<FimbleLayer> layers_;
    const Kernels& kernels_;
    const std::vector<Kind> kinds_;  // of the stages of a layer
    ThreadPool pool_;

    // Of the pass that is running.
    int batch_ = 0, start_ = 0;
    bool all_logits_ = false, with_logits_ = false;
    uint16_t* const* blocks_ = nullptr;
    float* logits_ = nullptr;

    // What a batch needs, made for the largest one so far.
    int room_ = 0, score_threads_ = 0, score_room_ = 0;
    Rows stream_, normed_, qkv_, attention_, up_, hidden_, sines_, cosines_, scores_;
    Quantized input_, mixed_, inner_;
};
