// What every set of kernels provides: the arithmetic of a forward pass on a part of its rows, in one thread.
#pragma once

#include "interface.h"

constexpr int ROWS = 16;    // of a block of a matrix, keys in a block of scores, elements of a head in a block of values
constexpr int GROUP = 32;   // values with a common scale
constexpr int TILE = 4;     // tokens whose products share each read of the weights
constexpr int QUERIES = 4;  // queries whose scores share each read of the keys
constexpr float LEVELS = 32512;  // the value of the largest magnitude in a group of activations: 127 · 256

constexpr int padded(int size, int multiple) { return (size + multiple - 1) / multiple * multiple; }

// Activations quantised to 16 bits in groups, an encoding that is private to the kernels. With 16 bits, rounding them
// adds nothing that could be noticed to the rounding of the weights, however much a few channels tower over the others.
struct Activations {
    int16_t* values;  // (tokens, stride)
    float* scales;    // (tokens, stride / GROUP)
    int32_t* sums;    // of the values of each group, likewise
    int stride;       // columns, a multiple of GROUP
};

// What becomes of a product: out = [out +] product [+ bias].
struct Output {
    float* values;      // (tokens, stride)
    int stride;         // a multiple of ROWS, or the rows of the matrix
    const float* bias;  // (rows padded to ROWS), or null
    bool add;
    int rows;  // that are written of each token
};

// A head's keys and values in the KV cache: for each block of FIMBLE_BLOCK_TOKENS tokens, keys are
// [tokens / 16][head_dim][16 tokens] and values [head_dim / 16][tokens][16 elements], in fp16.
struct Head {
    uint16_t* const* blocks;
    int64_t keys, values;  // where they begin in each block
    int head_dim, padded_dim;
};

struct Query {
    const float* values;  // (head_dim)
    int visible;          // keys that it attends to, the first ones
    float* out;           // (head_dim)
};

struct Kernels {
    const char* name;
    // One row of floats to activations; `columns` is a multiple of GROUP.
    void (*quantize)(const float* x, int columns, int16_t* values, float* scales, int32_t* sums);
    // Rows of the blocks from `first` up to `last` of a matrix, for `tokens` rows of activations.
    void (*product)(const FimbleMatrix& matrix, int first, int last, const Activations& x, int tokens, const Output& out);
    // Element-wise functions read and write rows padded to ROWS.
    void (*norm)(const float* x, const float* weight, const float* bias, bool rms, float eps, int width, float* out);
    void (*activate)(const float* x, int32_t kind, int width, float* out);
    void (*multiply)(const float* x, int width, float* out);
    // Attention of up to QUERIES queries of one head; `scores` has room for `score_stride` floats for each.
    void (*attend)(const Head& head, const Query* queries, int count, float scale, float* scores, int score_stride);
    void (*to_half)(const float* x, int count, uint16_t* out, int out_stride);
};

// Null where the compiler's target does not have the instructions.
const Kernels* plain_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* neon_kernels();
