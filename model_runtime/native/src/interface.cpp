// The C interface: checks what comes from outside, and chooses the kernels.
#include "interface.h"

#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "cpu.h"
#include "decoder.h"

namespace {

// Those that this machine can run, the fastest first.
const std::vector<const Kernels*>& usable_kernels() {
    static const std::vector<const Kernels*> found = [] {
        std::vector<const Kernels*> usable;
#if defined(__x86_64__) || defined(_M_X64)
        if (avx512_kernels() && cpu_has_avx512_vnni()) usable.push_back(avx512_kernels());
        if (avx2_kernels() && cpu_has_avx2()) usable.push_back(avx2_kernels());
#elif defined(__aarch64__)
        if (neon_kernels() && cpu_has_dotprod()) usable.push_back(neon_kernels());
#endif
        usable.push_back(plain_kernels());
        return usable;
    }();
    return found;
}

const Kernels* kernels_named(const char* name) {
    for (const Kernels* kernels : usable_kernels())
        if (!std::strcmp(name, "") || !std::strcmp(name, kernels->name)) return kernels;
    return nullptr;
}

bool fits(const FimbleMatrix& matrix, int64_t rows, int64_t columns) {
    return matrix.values && matrix.scales && matrix.rows == rows && matrix.columns == columns &&
           (matrix.bits == 8 || matrix.bits == 4);
}

bool fits(const FimbleConfig& c, const FimbleWeights& weights) {
    for (const int32_t size : {c.vocab_size, c.context_length, c.width, c.layers, c.heads, c.kv_heads, c.head_dim,
                               c.mlp_width})
        if (size < 1) return false;
    const bool rotary = c.rotary_dim >= 2 && c.rotary_dim % 2 == 0 && c.rotary_dim <= c.head_dim;
    if (c.heads % c.kv_heads || !weights.layers || !weights.final_norm || !(rotary || weights.positions)) return false;
    const int64_t mixed = int64_t{c.heads} * c.head_dim, both = (int64_t{c.heads} + 2 * c.kv_heads) * c.head_dim;
    if (!fits(weights.embedding, c.vocab_size, c.width) || !fits(weights.head, c.vocab_size, c.width)) return false;
    for (int i = 0; i < c.layers; ++i) {
        const FimbleLayer& layer = weights.layers[i];
        if (!layer.attention_norm || !(layer.mlp_norm || c.parallel_block) || !fits(layer.qkv, both, c.width) ||
            !fits(layer.attention_out, c.width, mixed) ||
            !fits(layer.mlp_up, int64_t{c.mlp_width} * (c.gated_mlp ? 2 : 1), c.width) ||
            !fits(layer.mlp_down, c.width, c.mlp_width))
            return false;
    }
    return true;
}

}  // namespace

int32_t fimble_interface() { return FIMBLE_INTERFACE; }

const char* fimble_kernels() {
    static const std::string names = [] {
        std::string joined;
        for (const Kernels* kernels : usable_kernels()) joined += (joined.empty() ? "" : " ") + std::string(kernels->name);
        return joined;
    }();
    return names.c_str();
}

FimbleDecoder* fimble_open(const FimbleConfig* config, const FimbleWeights* weights, const char* kernels) {
    const Kernels* chosen = kernels_named(kernels);
    if (!chosen || !fits(*config, *weights)) return nullptr;
    try {
        return new FimbleDecoder(*config, *weights, *chosen);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void fimble_close(FimbleDecoder* decoder) { delete decoder; }

void fimble_set_threads(FimbleDecoder* decoder, int32_t threads) { decoder->set_threads(threads); }

int64_t fimble_block_bytes(const FimbleDecoder* decoder) { return decoder->block_bytes(); }

int32_t fimble_forward(FimbleDecoder* decoder, const int32_t* tokens, int32_t count, int32_t start,
                       uint16_t* const* blocks, int32_t block_count, int32_t all_logits, float* logits) {
    const int64_t end = int64_t{start} + count;
    if (count < 1 || start < 0 || end > decoder->config.context_length) return -1;
    if (int64_t{block_count} * FIMBLE_BLOCK_TOKENS < end) return -1;
    for (int i = 0; i < count; ++i)
        if (tokens[i] < 0 || tokens[i] >= decoder->config.vocab_size) return -1;
    try {
        decoder->forward(tokens, count, start, blocks, all_logits != 0, logits);
    } catch (const std::bad_alloc&) {
        return -2;
    }
    return 0;
}

int32_t fimble_product(const FimbleMatrix* matrix, const float* x, int32_t count, float* out, const char* kernels) {
    const Kernels* chosen = kernels_named(kernels);
    if (!chosen || count < 1 || !fits(*matrix, matrix->rows, matrix->columns)) return -1;
    const int stride = padded(matrix->columns, GROUP), groups = stride / GROUP;
    const size_t size = static_cast<size_t>(count) * static_cast<size_t>(stride);
    std::vector<int16_t> values(size);
    std::vector<float> scales(size / GROUP), row(static_cast<size_t>(stride));
    std::vector<int32_t> sums(size / GROUP);
    for (int i = 0; i < count; ++i) {
        std::memcpy(row.data(), x + static_cast<int64_t>(i) * matrix->columns,
                    sizeof(float) * static_cast<size_t>(matrix->columns));
        chosen->quantize(row.data(), stride, &values[static_cast<size_t>(i) * static_cast<size_t>(stride)],
                         &scales[static_cast<size_t>(i * groups)], &sums[static_cast<size_t>(i * groups)]);
    }
    chosen->product(*matrix, 0, (matrix->rows + ROWS - 1) / ROWS, {values.data(), scales.data(), sums.data(), stride},
                    count, {out, matrix->rows, nullptr, false, matrix->rows});
    return 0;
}
