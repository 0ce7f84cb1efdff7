#include "decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "half.h"

namespace {

constexpr int BATCH = 128;  // tokens that pass through all layers together, so that their activations stay in the cache
constexpr int CHUNKS_PER_THREAD = 6;  // so that a thread that is slower than the others takes fewer
constexpr int ALIGNMENT = 64;

template <class T>
Buffer<T> buffer(int64_t count) {
    const size_t bytes = static_cast<size_t>(std::max<int64_t>(count, 1)) * sizeof(T);
    void* memory = ::operator new(bytes, std::align_val_t{ALIGNMENT});
    std::memset(memory, 0, bytes);
    return Buffer<T>(static_cast<T*>(memory));
}

// A row of a matrix as floats.
void row_of(const FimbleMatrix& matrix, int row, float* out) {
    const int groups = padded(matrix.columns, GROUP) / GROUP, at_once = 32 / matrix.bits;
    const int64_t block = static_cast<int64_t>(row / ROWS) * groups * ROWS;
    const uint8_t* values = matrix.values + block * GROUP * matrix.bits / 8 + row % ROWS * 4;
    for (int i = 0; i < matrix.columns; ++i) {
        const int64_t group = block + i / GROUP * ROWS + row % ROWS;
        const uint8_t byte = values[static_cast<int64_t>(i / at_once) * ROWS * 4 + i % 4];
        const int value = matrix.bits == 8 ? static_cast<int8_t>(byte) : i % 8 < 4 ? byte & 0x0F : byte >> 4;
        out[i] = half_to_float(matrix.scales[group]) * static_cast<float>(value - matrix.offset);
        if (matrix.minima) out[i] += half_to_float(matrix.minima[group]);
    }
}

int parts(int size, int part) { return (size + part - 1) / part; }

}  // namespace

void AlignedDelete::operator()(void* memory) const { ::operator delete(memory, std::align_val_t{ALIGNMENT}); }

FimbleDecoder::FimbleDecoder(const FimbleConfig& facts, const FimbleWeights& weights, const Kernels& kernels)
    : config(facts),
      weights_(weights),
      layers_(weights.layers, weights.layers + facts.layers),
      kernels_(kernels),
      kinds_(facts.parallel_block
                 ? std::vector<Kind>{Kind::norm, Kind::qkv, Kind::mlp_up, Kind::rotate, Kind::attend,
                                     Kind::quantize_attention, Kind::attention_out, Kind::activate, Kind::mlp_down}
                 : std::vector<Kind>{Kind::norm, Kind::qkv, Kind::rotate, Kind::attend, Kind::quantize_attention,
                                     Kind::attention_out, Kind::mlp_norm, Kind::mlp_up, Kind::activate,
                                     Kind::mlp_down}),
      pool_(static_cast<int>(kinds_.size()) * facts.layers + 2) {
    weights_.layers = nullptr;
    weights_.final_norm = padded_copy(weights_.final_norm, config.width);
    weights_.final_norm_bias = padded_copy(weights_.final_norm_bias, config.width);
    weights_.head_bias = padded_copy(weights_.head_bias, config.vocab_size);
    for (FimbleLayer& layer : layers_) {
        for (const float** norm :
             {&layer.attention_norm, &layer.attention_norm_bias, &layer.mlp_norm, &layer.mlp_norm_bias})
            *norm = padded_copy(*norm, config.width);
        layer.qkv_bias = padded_copy(layer.qkv_bias, layer.qkv.rows);
        layer.attention_out_bias = padded_copy(layer.attention_out_bias, layer.attention_out.rows);
        layer.mlp_up_bias = padded_copy(layer.mlp_up_bias, layer.mlp_up.rows);
        layer.mlp_down_bias = padded_copy(layer.mlp_down_bias, layer.mlp_down.rows);
    }
}

// Vectors are read in whole ones, so they are copied and padded with zeros; null stays null.
const float* FimbleDecoder::padded_copy(const float* values, int count) {
    if (!values) return nullptr;
    copies_.push_back(buffer<float>(padded(count, GROUP)));
    std::memcpy(copies_.back().get(), values, sizeof(float) * static_cast<size_t>(count));
    return copies_.back().get();
}

void FimbleDecoder::set_threads(int threads) { pool_.resize(threads); }

int64_t FimbleDecoder::head_size() const {
    return int64_t{FIMBLE_BLOCK_TOKENS} * (config.head_dim + padded(config.head_dim, ROWS));
}

int64_t FimbleDecoder::block_bytes() const {
    return head_size() * config.layers * config.kv_heads * static_cast<int64_t>(sizeof(uint16_t));
}

void FimbleDecoder::forward(const int32_t* tokens, int count, int start, uint16_t* const* blocks, bool all_logits,
                            float* logits) {
    blocks_ = blocks;
    all_logits_ = all_logits;
    for (int done = 0; done < count; done += batch_) {
        batch_ = std::min(BATCH, count - done);
        start_ = start + done;
        with_logits_ = all_logits || done + batch_ == count;
        logits_ = logits + (all_logits ? static_cast<int64_t>(done) * config.vocab_size : 0);
        make_room(batch_, start_ + batch_);
        embed(tokens + done);
        set_angles();
        pool_.run(*this);
    }
}

FimbleDecoder::Rows FimbleDecoder::rows(int count, int width) const {
    const int stride = padded(width, GROUP) + GROUP;  // a vector may begin at any element
    return {buffer<float>(static_cast<int64_t>(count) * stride), stride};
}

FimbleDecoder::Quantized FimbleDecoder::quantized(int count, int width) const {
    const int stride = padded(width, GROUP);
    Quantized made{buffer<int16_t>(static_cast<int64_t>(count) * stride),
                   buffer<float>(static_cast<int64_t>(count) * stride / GROUP),
                   buffer<int32_t>(static_cast<int64_t>(count) * stride / GROUP), {}};
    made.view = {made.values.get(), made.scales.get(), made.sums.get(), stride};
    return made;
}

void FimbleDecoder::make_room(int count, int visible) {
    // What there is room for is noted last: there may be no memory.
    if (count > room_) {
        stream_ = rows(count, config.width);
        normed_ = rows(count, config.width);
        qkv_ = rows(count, (config.heads + 2 * config.kv_heads) * config.head_dim);
        attention_ = rows(count, config.heads * config.head_dim);
        up_ = rows(count, config.mlp_width * (config.gated_mlp ? 2 : 1));
        hidden_ = rows(count, config.mlp_width);
        sines_ = rows(count, config.rotary_dim / 2);
        cosines_ = rows(count, config.rotary_dim / 2);
        input_ = quantized(count, config.width);
        mixed_ = quantized(count, config.heads * config.head_dim);
        inner_ = quantized(count, config.mlp_width);
        room_ = count;
    }
    if (pool_.threads() > score_threads_ || visible > score_room_) {
        const int threads = std::max(pool_.threads(), score_threads_);
        const int room = std::max(visible, std::min(2 * score_room_, config.context_length));
        scores_ = rows(threads * QUERIES, room);
        score_threads_ = threads;
        score_room_ = room;
    }
}

FimbleDecoder::Kind FimbleDecoder::kind(int stage) const {
    const int in_layers = static_cast<int>(kinds_.size()) * config.layers;
    if (stage < in_layers) return kinds_[static_cast<size_t>(stage) % kinds_.size()];
    return stage == in_layers ? Kind::final : Kind::head;
}

// What a stage is cut between: blocks of rows of a matrix, tiles of queries of a head, or tokens.
int FimbleDecoder::units(Kind kind) const {
    switch (kind) {
        case Kind::qkv:
        case Kind::attention_out:
        case Kind::mlp_up:
        case Kind::mlp_down:
        case Kind::head: return parts(matrix_of(kind, 0).rows, ROWS);
        case Kind::attend: return config.kv_heads * parts(batch_ * (config.heads / config.kv_heads), QUERIES);
        case Kind::final: return tokens_with_logits();
        default: return batch_;
    }
}

int FimbleDecoder::chunks(int stage) const {
    return pool_.threads() == 1 ? 1 : std::min(units(kind(stage)), CHUNKS_PER_THREAD * pool_.threads());
}

void FimbleDecoder::run(int stage, int chunk, int thread) {
    const Kind what = kind(stage);
    const int layer = stage / static_cast<int>(kinds_.size()), count = chunks(stage), size = units(what);
    const int first = static_cast<int>(static_cast<int64_t>(size) * chunk / count);
    const int last = static_cast<int>(static_cast<int64_t>(size) * (chunk + 1) / count);
    switch (what) {
        case Kind::qkv:
        case Kind::attention_out:
        case Kind::mlp_up:
        case Kind::mlp_down:
        case Kind::head: return multiply(what, layer, first, last);
        default: break;
    }
    for (int unit = first; unit < last; ++unit) {
        switch (what) {
            case Kind::norm:
                normalize(unit, layers_[layer].attention_norm, layers_[layer].attention_norm_bias, unit);
                break;
            case Kind::mlp_norm:
                normalize(unit, layers_[layer].mlp_norm, layers_[layer].mlp_norm_bias, unit);
                break;
            case Kind::final:
                normalize(batch_ - tokens_with_logits() + unit, weights_.final_norm, weights_.final_norm_bias, unit);
                break;
            case Kind::rotate: rotate_and_store(layer, unit); break;
            case Kind::attend: attend(layer, unit, thread); break;
            case Kind::quantize_attention: quantize(mixed_, unit, attention_[unit]); break;
            default: activate(unit); break;
        }
    }
}

const FimbleMatrix& FimbleDecoder::matrix_of(Kind kind, int layer) const {
    switch (kind) {
        case Kind::qkv: return layers_[layer].qkv;
        case Kind::attention_out: return layers_[layer].attention_out;
        case Kind::mlp_up: return layers_[layer].mlp_up;
        case Kind::mlp_down: return layers_[layer].mlp_down;
        default: return weights_.head;
    }
}

void FimbleDecoder::multiply(Kind kind, int layer, int first, int last) {
    const FimbleMatrix& matrix = matrix_of(kind, layer);
    const Activations* input = &input_.view;
    Output out{nullptr, 0, nullptr, false, matrix.rows};
    int tokens = batch_;
    switch (kind) {
        case Kind::qkv: out.values = qkv_[0], out.stride = qkv_.stride, out.bias = layers_[layer].qkv_bias; break;
        case Kind::mlp_up: out.values = up_[0], out.stride = up_.stride, out.bias = layers_[layer].mlp_up_bias; break;
        case Kind::head:
            out.values = logits_, out.stride = config.vocab_size, out.bias = weights_.head_bias;
            tokens = tokens_with_logits();
            break;
        default:  // added to the residual stream
            out.values = stream_[0], out.stride = stream_.stride, out.add = true;
            out.bias = kind == Kind::mlp_down ? layers_[layer].mlp_down_bias : layers_[layer].attention_out_bias;
            input = kind == Kind::mlp_down ? &inner_.view : &mixed_.view;
            break;
    }
    kernels_.product(matrix, first, last, *input, tokens, out);
}

void FimbleDecoder::embed(const int32_t* tokens) {
    for (int row = 0; row < batch_; ++row) {
        float* out = stream_[row];
        row_of(weights_.embedding, tokens[row], out);
        if (!weights_.positions) continue;
        const float* position = weights_.positions + static_cast<int64_t>(start_ + row) * config.width;
        for (int i = 0; i < config.width; ++i) out[i] += position[i];
    }
}

void FimbleDecoder::set_angles() {
    for (int i = 0; i < config.rotary_dim / 2; ++i) {
        const double frequency = std::pow(static_cast<double>(config.rotary_theta), -2.0 * i / config.rotary_dim);
        const float step = static_cast<float>(frequency / config.rotary_factor);
        for (int row = 0; row < batch_; ++row) {
            const float angle = static_cast<float>(start_ + row) * step;
            cosines_[row][i] = static_cast<float>(std::cos(static_cast<double>(angle)));
            sines_[row][i] = static_cast<float>(std::sin(static_cast<double>(angle)));
        }
    }
}

void FimbleDecoder::normalize(int row, const float* weight, const float* bias, int into) {
    kernels_.norm(stream_[row], weight, bias, config.rms_norm, config.norm_eps, config.width, normed_[row]);
    quantize(input_, into, normed_[row]);
}

void FimbleDecoder::quantize(Quantized& into, int row, const float* values) {
    const int64_t stride = into.view.stride;
    kernels_.quantize(values, into.view.stride, into.view.values + row * stride,
                      into.view.scales + row * (stride / GROUP), into.view.sums + row * (stride / GROUP));
}

// Rotates a token's queries and keys, and writes its keys and values to the cache.
void FimbleDecoder::rotate_and_store(int layer, int row) {
    const int dim = config.head_dim, half = config.rotary_dim / 2, position = start_ + row;
    const float *cosine = cosines_[row], *sine = sines_[row];
    for (int head = 0; head < config.heads + config.kv_heads && half > 0; ++head) {
        float* values = qkv_[row] + head * dim;
        for (int i = 0; i < half; ++i) {
            const float first = values[i], second = values[half + i];
            values[i] = first * cosine[i] - second * sine[i];
            values[half + i] = second * cosine[i] + first * sine[i];
        }
    }
    const int inside = position % FIMBLE_BLOCK_TOKENS;
    for (int head = 0; head < config.kv_heads; ++head) {
        const float* keys = qkv_[row] + (config.heads + head) * dim;
        const float* values = keys + config.kv_heads * dim;
        uint16_t* stored = blocks_[position / FIMBLE_BLOCK_TOKENS] + (layer * config.kv_heads + head) * head_size();
        kernels_.to_half(keys, dim, stored + inside / ROWS * ROWS * dim + inside % ROWS, ROWS);
        stored += int64_t{FIMBLE_BLOCK_TOKENS} * dim;
        for (int i = 0; i < dim; i += ROWS)
            kernels_.to_half(values + i, std::min(ROWS, dim - i), stored + i * FIMBLE_BLOCK_TOKENS + inside * ROWS, 1);
    }
}

void FimbleDecoder::attend(int layer, int unit, int thread) {
    const int group = config.heads / config.kv_heads, queries = batch_ * group, tiles = parts(queries, QUERIES);
    const int head = unit / tiles, first = unit % tiles * QUERIES, count = std::min(QUERIES, queries - first);
    const int dim = config.head_dim;
    const int64_t keys = (layer * config.kv_heads + head) * head_size();
    Query asked[QUERIES] = {};
    for (int i = 0; i < count; ++i) {
        const int row = (first + i) / group, at = (head * group + (first + i) % group) * dim;
        asked[i] = {qkv_[row] + at, start_ + row + 1, attention_[row] + at};
    }
    kernels_.attend({blocks_, keys, keys + int64_t{FIMBLE_BLOCK_TOKENS} * dim, dim, padded(dim, ROWS)}, asked, count,
                    config.attention_scale, scores_[thread * QUERIES], scores_.stride);
}

// The activation of the MLP's first product, times its second one where the MLP is gated.
void FimbleDecoder::activate(int row) {
    const int width = config.mlp_width, whole = padded(width, ROWS);
    float* hidden = hidden_[row];
    kernels_.activate(up_[row], config.activation, whole, hidden);
    if (config.gated_mlp) kernels_.multiply(up_[row] + width, whole, hidden);
    std::fill(hidden + width, hidden + whole, 0.0f);
    quantize(inner_, row, hidden);
}
