// Kernels for AVX2 with FMA and F16C: x86-64 since 2013 (Intel) and 2015 (AMD).
#include "kernels_template.h"

#if defined(__AVX2__)
#include <immintrin.h>

namespace {

struct Avx2 {
    static constexpr int lanes = 8, vectors = ROWS / lanes, tokens = TILE;

    using Float = __m256;
    using Sum = __m256i;
    using Part = __m256i;  // two columns in 16 bits: of each four the first and third, or the second and fourth
    static constexpr int parts = 2;

    static Float zero() { return _mm256_setzero_ps(); }
    static Float splat(float x) { return _mm256_set1_ps(x); }
    static Float load(const float* from) { return _mm256_loadu_ps(from); }
    static void store(float* to, Float x) { _mm256_storeu_ps(to, x); }
    static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
    static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
    static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
    static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
    static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
    static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
    static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
    static Float round(Float a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Float with_sign_of(Float a, Float b) {
        const Float sign = _mm256_set1_ps(-0.0f);
        return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b));
    }
    static Float power_of_two(Float n) {
        const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
    }
    static Float halves(const uint16_t* from) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
    static Float to_float(Sum sum) { return _mm256_cvtepi32_ps(sum); }
    static uint16_t half(float value) {
        const __m128 limit = _mm_set_ss(65504.0f);
        const __m128 cut = _mm_max_ss(_mm_min_ss(_mm_set_ss(value), limit), _mm_sub_ss(_mm_setzero_ps(), limit));
        return static_cast<uint16_t>(_mm_extract_epi16(_mm_cvtps_ph(cut, _MM_FROUND_TO_NEAREST_INT), 0));
    }

    static Sum sum_from(int32_t x) { return _mm256_set1_epi32(x); }
    template <int BITS>
    static Part weights(const uint8_t* from, int part) {
        const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        if (BITS == 8) return _mm256_srai_epi16(part == 0 ? _mm256_slli_epi16(all, 8) : all, 8);
        const __m256i mask = _mm256_set1_epi16(0x0F);
        switch (part) {
            case 0: return _mm256_and_si256(all, mask);
            case 1: return _mm256_and_si256(_mm256_srli_epi16(all, 8), mask);
            case 2: return _mm256_and_si256(_mm256_srli_epi16(all, 4), mask);
            default: return _mm256_srli_epi16(all, 12);
        }
    }
    static Part activations(const int16_t* from) {
        int32_t both;
        std::memcpy(&both, from, sizeof both);
        return _mm256_set1_epi32(both);
    }
    static Sum dot(Sum sum, Part w, Part x) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(w, x));
#if defined(__GNUC__)
        asm("" : "+x"(sum));  // GCC would add products to each other first, for which there are too few registers
#endif
        return sum;
    }

    static void quantize(const float* x, int16_t* values, float* scale, int32_t* sum) {
        const Float sign = _mm256_set1_ps(-0.0f);
        Float most = zero();
        for (int i = 0; i < GROUP; i += lanes) most = max(_mm256_andnot_ps(sign, load(x + i)), most);
        __m128 four = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
        four = _mm_max_ps(four, _mm_movehl_ps(four, four));
        const float largest = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
        const Float slope = splat(largest > 0 ? LEVELS / largest : 0);
        *scale = largest / LEVELS;
        __m256i sums = _mm256_setzero_si256();
        for (int i = 0; i < GROUP; i += 2 * lanes) {
            const __m256i first = _mm256_cvtps_epi32(mul(load(x + i), slope));
            const __m256i second = _mm256_cvtps_epi32(mul(load(x + i + lanes), slope));
            sums = _mm256_add_epi32(sums, _mm256_add_epi32(first, second));
            // In order, then of each four the first and third before the second and fourth.
            __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(first, second), 0xD8);
            packed = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(packed, 0xD8), 0xD8);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + i), packed);
        }
        __m128i part = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        part = _mm_add_epi32(part, _mm_shuffle_epi32(part, 0x4E));
        *sum = _mm_cvtsi128_si32(_mm_add_epi32(part, _mm_shuffle_epi32(part, 0xB1)));
    }
};

constexpr Kernels KERNELS = kernels_of<Avx2>("avx2");

}  // namespace

const Kernels* avx2_kernels() { return &KERNELS; }
#else
const Kernels* avx2_kernels() { return nullptr; }
#endif
