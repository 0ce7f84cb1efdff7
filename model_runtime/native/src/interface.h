// The C interface of the native CPU engine, which Python calls through ctypes. Sizes are checked on both sides of it.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define FIMBLE_EXPORT extern "C" __declspec(dllexport)
#else
#define FIMBLE_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// Changes with every change of this file, so that a library from another version is not loaded.
constexpr int32_t FIMBLE_INTERFACE = 1;

// A matrix (rows, columns) in groups of 32 values of a row. The value of a group's element is
// scale · (q - offset) + minimum, with q an int8, or 4 unsigned bits. Rows are padded to a multiple of 16, columns
// to one of 32; padding is zero. Sixteen rows are a block, so that one vector holds the same column of each:
//
//     values    [rows / 16][columns / 4][16 rows][4 columns] for 8 bits; for 4 bits [columns / 8][16][4], where the
//               low half of byte i is column i of eight, and the high half column 4 + i
//     scales    [rows / 16][columns / 32][16 rows], fp16; minima likewise, or null
struct FimbleMatrix {
    const uint8_t* values;
    const uint16_t* scales;
    const uint16_t* minima;
    int32_t rows;     // not padded
    int32_t columns;  // not padded
    int32_t bits;     // 8 or 4
    int32_t offset;
};

enum FimbleActivation : int32_t { FIMBLE_GELU, FIMBLE_GELU_TANH, FIMBLE_RELU, FIMBLE_SILU };

// Facts of a decoder; see `DecoderConfig` in Python.
struct FimbleConfig {
    int32_t vocab_size, context_length, width, layers, heads, kv_heads, head_dim, mlp_width;
    int32_t rotary_dim;  // 0 for learned positions
    int32_t parallel_block, rms_norm, gated_mlp;
    int32_t activation;
    float rotary_theta, rotary_factor, norm_eps, attention_scale;
};

// The weights of one layer; biases, and the second norm of a parallel block, may be null.
struct FimbleLayer {
    const float *attention_norm, *attention_norm_bias, *mlp_norm, *mlp_norm_bias;
    FimbleMatrix qkv, attention_out, mlp_up, mlp_down;
    const float *qkv_bias, *attention_out_bias, *mlp_up_bias, *mlp_down_bias;
};

struct FimbleWeights {
    FimbleMatrix embedding, head;
    const float* positions;  // (context_length, width), null for rotary positions
    const float *final_norm, *final_norm_bias, *head_bias;
    const FimbleLayer* layers;
};

struct FimbleDecoder;

FIMBLE_EXPORT int32_t fimble_interface();

// The names of the kernels that this machine can run, separated by spaces, the fastest first.
FIMBLE_EXPORT const char* fimble_kernels();

// A decoder over weights that stay where they are and must outlive it; null if `kernels` cannot run here.
FIMBLE_EXPORT FimbleDecoder* fimble_open(const FimbleConfig* config, const FimbleWeights* weights, const char* kernels);
FIMBLE_EXPORT void fimble_close(FimbleDecoder* decoder);
FIMBLE_EXPORT void fimble_set_threads(FimbleDecoder* decoder, int32_t threads);

// The bytes of a block of the KV cache, which holds FIMBLE_BLOCK_TOKENS tokens of all layers.
constexpr int32_t FIMBLE_BLOCK_TOKENS = 64;
FIMBLE_EXPORT int64_t fimble_block_bytes(const FimbleDecoder* decoder);

// Compute `count` tokens at the positions from `start` on. Their keys and values are written to `blocks`, the KV cache's
// blocks in order, aligned to 64 bytes, of which there are at least (start + count) / FIMBLE_BLOCK_TOKENS, rounded up.
// Logits are written after the last token, (vocab_size), or after each of them, (count, vocab_size).
// Returns 0, or -1 if a number is out of range, in which case nothing was written.
FIMBLE_EXPORT int32_t fimble_forward(FimbleDecoder* decoder, const int32_t* tokens, int32_t count, int32_t start,
                                     uint16_t* const* blocks, int32_t block_count, int32_t all_logits, float* logits);

// The product of x, (count, columns), and a matrix: out is (count, rows). For tests and measurements.
FIMBLE_EXPORT int32_t fimble_product(const FimbleMatrix* matrix, const float* x, int32_t count, float* out,
                                     const char* kernels);
