// The kernels, for a set of vectors `S`. Every function is local to the file that includes this one: they are compiled
// for different machines, and a linker must not choose one for all. For the same reason nothing is used from the
// library's templates.
//
// `S` has vectors of `S::lanes` numbers, of which `S::vectors` make up ROWS of them.
#pragma once

#include <cmath>
#include <cstring>

#include "half.h"
#include "kernels.h"

// The loop over a group's columns stays one: unrolled, it needs more registers than there are.
#if defined(__GNUC__) && !defined(__clang__)
#define ROLLED _Pragma("GCC unroll 1")
#elif defined(__clang__)
#define ROLLED _Pragma("nounroll")
#else
#define ROLLED
#endif

#if defined(FIMBLE_NO_UNROLLING)
#define UNROLLED
#elif defined(__GNUC__) && !defined(__clang__)
#define UNROLLED _Pragma("GCC unroll 8")
#elif defined(__clang__)
#define UNROLLED _Pragma("unroll")
#else
#define UNROLLED
#endif

namespace {

constexpr int TOKENS = FIMBLE_BLOCK_TOKENS;

template <class S>
void quantize(const float* x, int columns, int16_t* values, float* scales, int32_t* sums) {
    for (int group = 0; group < columns / GROUP; ++group)
        S::quantize(x + group * GROUP, values + group * GROUP, scales + group, sums + group);
}

// The product of a block of rows with T tokens. For each token, group by group: an exact sum of integers, then one
// rounding; so the result is the same for every T.
template <class S, int T, int BITS, bool MINIMA>
void product_tile(const FimbleMatrix& matrix, int block, const Activations& x, int token, const Output& out) {
    constexpr int N = S::vectors, BYTES = ROWS * 4 / N;  // of a vector
    constexpr int COLUMNS = 32 / BITS, PARTS = S::parts * COLUMNS / 4;
    const int groups = padded(matrix.columns, GROUP) / GROUP;
    const int64_t at = static_cast<int64_t>(block) * groups * ROWS;  // of the block's scales
    const uint8_t* weights = matrix.values + at * GROUP * BITS / 8;
    const uint16_t *scales = matrix.scales + at, *minima = MINIMA ? matrix.minima + at : nullptr;
    const int16_t* values[T];
    typename S::Float total[T][N];
    UNROLLED for (int t = 0; t < T; ++t) {
        values[t] = x.values + static_cast<int64_t>(token + t) * x.stride;
        UNROLLED for (int n = 0; n < N; ++n) total[t][n] = S::zero();
    }
    const float* x_scales = x.scales + static_cast<int64_t>(token) * (x.stride / GROUP);
    const int32_t* x_sums = x.sums + static_cast<int64_t>(token) * (x.stride / GROUP);
    for (int group = 0; group < groups; ++group) {
        typename S::Sum sum[T][N];
        UNROLLED for (int t = 0; t < T; ++t) {
            // Unsigned, since the sum may be anything where an activation is no number.
            const uint32_t x_sum = static_cast<uint32_t>(x_sums[t * (x.stride / GROUP) + group]);
            const int32_t start = static_cast<int32_t>(0u - static_cast<uint32_t>(matrix.offset) * x_sum);
            UNROLLED for (int n = 0; n < N; ++n) sum[t][n] = S::sum_from(start);
        }
        ROLLED for (int i = 0; i < GROUP / COLUMNS; ++i) {
            UNROLLED for (int part = 0; part < PARTS; ++part) {
                typename S::Part w[N];
                UNROLLED for (int n = 0; n < N; ++n) w[n] = S::template weights<BITS>(weights + n * BYTES, part);
                UNROLLED for (int t = 0; t < T; ++t) {
                    const auto v = S::activations(values[t] + part * (COLUMNS / PARTS));
                    UNROLLED for (int n = 0; n < N; ++n) sum[t][n] = S::dot(sum[t][n], w[n], v);
                }
            }
            weights += ROWS * 4;
            UNROLLED for (int t = 0; t < T; ++t) values[t] += COLUMNS;
        }
        UNROLLED for (int n = 0; n < N; ++n) {
            const typename S::Float scale = S::halves(scales + group * ROWS + n * S::lanes);
            UNROLLED for (int t = 0; t < T; ++t) {
                const int where = t * (x.stride / GROUP) + group;
                const typename S::Float both = S::mul(scale, S::splat(x_scales[where]));
                total[t][n] = S::fma(S::to_float(sum[t][n]), both, total[t][n]);
                if constexpr (MINIMA) {
                    const float weight = x_scales[where] * static_cast<float>(x_sums[where]);
                    const typename S::Float minimum = S::halves(minima + group * ROWS + n * S::lanes);
                    total[t][n] = S::fma(minimum, S::splat(weight), total[t][n]);
                }
            }
        }
    }
    const int row = block * ROWS;
    for (int t = 0; t < T; ++t) {
        float* target = out.values + static_cast<int64_t>(token + t) * out.stride + row;
        float last[ROWS];  // of a matrix whose rows are no multiple of ROWS
        const bool whole = row + ROWS <= out.rows;
        for (int n = 0; n < N; ++n) {
            typename S::Float value = total[t][n];
            if (out.bias) value = S::add(value, S::load(out.bias + row + n * S::lanes));
            if (whole && out.add) value = S::add(value, S::load(target + n * S::lanes));
            S::store(whole ? target + n * S::lanes : last + n * S::lanes, value);
        }
        for (int r = 0; !whole && r < out.rows - row; ++r) target[r] = out.add ? target[r] + last[r] : last[r];
    }
}

template <class S, int BITS, bool MINIMA>
void product_of(const FimbleMatrix& matrix, int first, int last, const Activations& x, int tokens, const Output& out) {
    constexpr int T = S::tokens;
    for (int block = first; block < last; ++block) {
        int token = 0;
        for (; token + T <= tokens; token += T) product_tile<S, T, BITS, MINIMA>(matrix, block, x, token, out);
        if constexpr (T > 4)
            for (; token + 4 <= tokens; token += 4) product_tile<S, 4, BITS, MINIMA>(matrix, block, x, token, out);
        switch (tokens - token) {
            case 3: product_tile<S, 3, BITS, MINIMA>(matrix, block, x, token, out); break;
            case 2: product_tile<S, 2, BITS, MINIMA>(matrix, block, x, token, out); break;
            case 1: product_tile<S, 1, BITS, MINIMA>(matrix, block, x, token, out); break;
            default: break;
        }
    }
}

template <class S>
void product(const FimbleMatrix& matrix, int first, int last, const Activations& x, int tokens, const Output& out) {
    if (matrix.bits == 8) {
        if (matrix.minima) product_of<S, 8, true>(matrix, first, last, x, tokens, out);
        else product_of<S, 8, false>(matrix, first, last, x, tokens, out);
    } else {
        if (matrix.minima) product_of<S, 4, true>(matrix, first, last, x, tokens, out);
        else product_of<S, 4, false>(matrix, first, last, x, tokens, out);
    }
}

template <class S>
float total_of(const float* x, int width, float mean, bool squared) {
    typename S::Float sums = S::zero();
    int i = 0;
    for (; i + S::lanes <= width; i += S::lanes) {
        const typename S::Float value = S::sub(S::load(x + i), S::splat(mean));
        sums = squared ? S::fma(value, value, sums) : S::add(sums, value);
    }
    float lanes[S::lanes], total = 0;
    S::store(lanes, sums);
    for (const float lane : lanes) total += lane;
    for (; i < width; ++i) total += squared ? (x[i] - mean) * (x[i] - mean) : x[i] - mean;
    return total;
}

template <class S>
void norm(const float* x, const float* weight, const float* bias, bool rms, float eps, int width, float* out) {
    const float size = static_cast<float>(width);
    const float mean = rms ? 0.0f : total_of<S>(x, width, 0.0f, false) / size;
    const float slope = 1.0f / std::sqrt(total_of<S>(x, width, mean, true) / size + eps);
    for (int i = 0; i < padded(width, ROWS); i += S::lanes) {  // weights are padded with zeros
        typename S::Float value = S::mul(S::sub(S::load(x + i), S::splat(mean)), S::splat(slope));
        value = S::mul(value, S::load(weight + i));
        S::store(out + i, bias ? S::add(value, S::load(bias + i)) : value);
    }
}

// e^x with a relative error under 2e-7: 2^n times a polynomial of the rest, from Cody and Waite's reduction.
template <class S>
typename S::Float exp(typename S::Float x) {
    x = S::min(S::max(x, S::splat(-87.3f)), S::splat(88.0f));
    const typename S::Float n = S::round(S::mul(x, S::splat(1.44269504f)));
    typename S::Float r = S::fma(n, S::splat(-0.693359375f), x);
    r = S::fma(n, S::splat(2.12194440e-4f), r);
    typename S::Float p = S::splat(1.9875691500e-4f);
    p = S::fma(p, r, S::splat(1.3981999507e-3f));
    p = S::fma(p, r, S::splat(8.3334519073e-3f));
    p = S::fma(p, r, S::splat(4.1665795894e-2f));
    p = S::fma(p, r, S::splat(1.6666665459e-1f));
    p = S::fma(p, r, S::splat(5.0000001201e-1f));
    p = S::add(S::fma(p, S::mul(r, r), r), S::splat(1.0f));
    return S::mul(p, S::power_of_two(n));
}

template <class S>
typename S::Float sigmoid(typename S::Float x) {
    return S::div(S::splat(1.0f), S::add(S::splat(1.0f), exp<S>(S::sub(S::zero(), x))));
}

// erf with an absolute error under 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26).
template <class S>
typename S::Float erf(typename S::Float x) {
    const typename S::Float size = S::max(x, S::sub(S::zero(), x));
    const typename S::Float t =
        S::div(S::splat(1.0f), S::fma(size, S::splat(0.3275911f), S::splat(1.0f)));
    typename S::Float p = S::splat(1.061405429f);
    p = S::fma(p, t, S::splat(-1.453152027f));
    p = S::fma(p, t, S::splat(1.421413741f));
    p = S::fma(p, t, S::splat(-0.284496736f));
    p = S::fma(p, t, S::splat(0.254829592f));
    const typename S::Float tail = S::mul(S::mul(p, t), exp<S>(S::sub(S::zero(), S::mul(size, size))));
    return S::with_sign_of(S::sub(S::splat(1.0f), tail), x);
}

template <class S>
typename S::Float activated(typename S::Float x, int32_t kind) {
    switch (kind) {
        case FIMBLE_GELU:
            return S::mul(S::mul(x, S::splat(0.5f)), S::add(S::splat(1.0f), erf<S>(S::mul(x, S::splat(0.70710678f)))));
        case FIMBLE_GELU_TANH: {  // x · sigmoid(2z), which equals x / 2 · (1 + tanh z)
            const typename S::Float cube = S::fma(S::mul(x, x), S::splat(0.044715f), S::splat(1.0f));
            return S::mul(x, sigmoid<S>(S::mul(S::mul(x, S::splat(1.59576912f)), cube)));
        }
        case FIMBLE_RELU: return S::max(x, S::zero());
        default: return S::mul(x, sigmoid<S>(x));
    }
}

template <class S>
void activate(const float* x, int32_t kind, int width, float* out) {
    for (int i = 0; i < width; i += S::lanes) S::store(out + i, activated<S>(S::load(x + i), kind));
}

template <class S>
void multiply(const float* x, int width, float* out) {
    for (int i = 0; i < width; i += S::lanes) S::store(out + i, S::mul(S::load(out + i), S::load(x + i)));
}

template <class S>
void to_half(const float* x, int count, uint16_t* out, int out_stride) {
    for (int i = 0; i < count; ++i) out[static_cast<int64_t>(i) * out_stride] = S::half(x[i]);
}

// Scores of Q queries with the keys of ROWS tokens.
template <class S, int Q>
void score(const uint16_t* keys, int head_dim, const Query* queries, float scale, float* scores, int stride) {
    constexpr int N = S::vectors;
    typename S::Float sum[Q][N];
    UNROLLED for (int q = 0; q < Q; ++q) UNROLLED for (int n = 0; n < N; ++n) sum[q][n] = S::zero();
    for (int d = 0; d < head_dim; ++d) {
        UNROLLED for (int n = 0; n < N; ++n) {
            const typename S::Float key = S::halves(keys + d * ROWS + n * S::lanes);
            UNROLLED for (int q = 0; q < Q; ++q) sum[q][n] = S::fma(key, S::splat(queries[q].values[d]), sum[q][n]);
        }
    }
    UNROLLED for (int q = 0; q < Q; ++q) UNROLLED for (int n = 0; n < N; ++n)
        S::store(scores + static_cast<int64_t>(q) * stride + n * S::lanes, S::mul(sum[q][n], S::splat(scale)));
}

// Turns a query's scores into weights that add up to 1; `count` of them are read and written, a multiple of ROWS.
template <class S>
void softmax(float* scores, int visible) {
    const int count = padded(visible, ROWS);
    for (int i = visible; i < count; ++i) scores[i] = -INFINITY;
    typename S::Float most = S::splat(-INFINITY), sums = S::zero();
    for (int i = 0; i < count; i += S::lanes) most = S::max(most, S::load(scores + i));
    float lanes[S::lanes], highest = -INFINITY, total = 0;
    S::store(lanes, most);
    for (const float lane : lanes) highest = lane > highest ? lane : highest;
    for (int i = 0; i < count; i += S::lanes) {
        const typename S::Float weight = exp<S>(S::sub(S::load(scores + i), S::splat(highest)));
        S::store(scores + i, weight);
        if (i + S::lanes > visible)  // what is hidden became e^-87: it is 0
            for (int k = visible > i ? visible : i; k < i + S::lanes; ++k) scores[k] = 0;
        sums = S::add(sums, S::load(scores + i));
    }
    S::store(lanes, sums);
    for (const float lane : lanes) total += lane;
    const typename S::Float slope = S::splat(1.0f / total);
    for (int i = 0; i < count; i += S::lanes) S::store(scores + i, S::mul(S::load(scores + i), slope));
}

// The sum of the values of all tokens, weighted by the scores, in elements `part` · ROWS and following.
template <class S, int Q>
void mix(const Head& head, int part, const Query* queries, int visible, const float* scores, int stride) {
    constexpr int N = S::vectors;
    typename S::Float sum[Q][N];
    UNROLLED for (int q = 0; q < Q; ++q) UNROLLED for (int n = 0; n < N; ++n) sum[q][n] = S::zero();
    for (int token = 0; token < visible; ++token) {
        const uint16_t* values =
            head.blocks[token / TOKENS] + head.values + (static_cast<int64_t>(part) * TOKENS + token % TOKENS) * ROWS;
        UNROLLED for (int n = 0; n < N; ++n) {
            const typename S::Float value = S::halves(values + n * S::lanes);
            UNROLLED for (int q = 0; q < Q; ++q)
                sum[q][n] = S::fma(value, S::splat(scores[static_cast<int64_t>(q) * stride + token]), sum[q][n]);
        }
    }
    for (int q = 0; q < Q; ++q) {
        float out[ROWS];
        for (int n = 0; n < N; ++n) S::store(out + n * S::lanes, sum[q][n]);
        const int left = head.head_dim - part * ROWS;
        std::memcpy(queries[q].out + part * ROWS, out, sizeof(float) * static_cast<size_t>(left < ROWS ? left : ROWS));
    }
}

template <class S, int Q>
void attend_to(const Head& head, const Query* queries, float scale, float* scores, int stride) {
    int visible = 0;
    for (int q = 0; q < Q; ++q) visible = queries[q].visible > visible ? queries[q].visible : visible;
    for (int token = 0; token < visible; token += ROWS) {
        const uint16_t* keys =
            head.blocks[token / TOKENS] + head.keys + static_cast<int64_t>(token % TOKENS) * head.head_dim;
        score<S, Q>(keys, head.head_dim, queries, scale, scores + token, stride);
    }
    for (int q = 0; q < Q; ++q) {
        float* own = scores + static_cast<int64_t>(q) * stride;
        softmax<S>(own, queries[q].visible);
        for (int i = padded(queries[q].visible, ROWS); i < visible; ++i) own[i] = 0;
    }
    for (int part = 0; part < head.padded_dim / ROWS; ++part) mix<S, Q>(head, part, queries, visible, scores, stride);
}

template <class S>
void attend(const Head& head, const Query* queries, int count, float scale, float* scores, int stride) {
    switch (count) {
        case 4: attend_to<S, 4>(head, queries, scale, scores, stride); break;
        case 3: attend_to<S, 3>(head, queries, scale, scores, stride); break;
        case 2: attend_to<S, 2>(head, queries, scale, scores, stride); break;
        default: attend_to<S, 1>(head, queries, scale, scores, stride); break;
    }
}

template <class S>
constexpr Kernels kernels_of(const char* name) {
    return {name, quantize<S>, product<S>, norm<S>, activate<S>, multiply<S>, attend<S>, to_half<S>};
}

}  // namespace
