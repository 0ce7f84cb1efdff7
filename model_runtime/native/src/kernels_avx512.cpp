// Kernels for AVX-512 with VNNI: servers and workstations since 2019, AMD's Zen 4 and later.
#include "kernels_template.h"

// MSVC has the instructions, but no macro that says so.
#if defined(__AVX512BW__) && (defined(__AVX512VNNI__) || defined(_MSC_VER))
#include <immintrin.h>

namespace {

struct Avx512 {
    static constexpr int lanes = 16, vectors = ROWS / lanes, tokens = 8;

    using Float = __m512;
    using Sum = __m512i;
    using Part = __m512i;  // two columns in 16 bits: of each four the first and third, or the second and fourth
    static constexpr int parts = 2;

    static Float zero() { return _mm512_setzero_ps(); }
    static Float splat(float x) { return _mm512_set1_ps(x); }
    static Float load(const float* from) { return _mm512_loadu_ps(from); }
    static void store(float* to, Float x) { _mm512_storeu_ps(to, x); }
    static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
    static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
    static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
    static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
    static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
    static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
    static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
    static Float round(Float a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Float with_sign_of(Float a, Float b) {
        const __m512i sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
        return _mm512_castsi512_ps(_mm512_or_si512(_mm512_andnot_si512(sign, _mm512_castps_si512(a)),
                                                   _mm512_and_si512(sign, _mm512_castps_si512(b))));
    }
    static Float power_of_two(Float n) {
        const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
        return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
    }
    static Float halves(const uint16_t* from) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    }
    static Float to_float(Sum sum) { return _mm512_cvtepi32_ps(sum); }
    static uint16_t half(float value) {
        const __m128 limit = _mm_set_ss(65504.0f);
        const __m128 cut = _mm_max_ss(_mm_min_ss(_mm_set_ss(value), limit), _mm_sub_ss(_mm_setzero_ps(), limit));
        return static_cast<uint16_t>(_mm_extract_epi16(_mm_cvtps_ph(cut, _MM_FROUND_TO_NEAREST_INT), 0));
    }

    static Sum sum_from(int32_t x) { return _mm512_set1_epi32(x); }
    template <int BITS>
    static Part weights(const uint8_t* from, int part) {
        const __m512i all = _mm512_loadu_si512(from);
        if (BITS == 8) return _mm512_srai_epi16(part == 0 ? _mm512_slli_epi16(all, 8) : all, 8);
        const __m512i mask = _mm512_set1_epi16(0x0F);
        switch (part) {
            case 0: return _mm512_and_si512(all, mask);
            case 1: return _mm512_and_si512(_mm512_srli_epi16(all, 8), mask);
            case 2: return _mm512_and_si512(_mm512_srli_epi16(all, 4), mask);
            default: return _mm512_srli_epi16(all, 12);
        }
    }
    static Part activations(const int16_t* from) {
        int32_t both;
        std::memcpy(&both, from, sizeof both);
        return _mm512_set1_epi32(both);
    }
    static Sum dot(Sum sum, Part w, Part x) { return _mm512_dpwssd_epi32(sum, w, x); }

    static void quantize(const float* x, int16_t* values, float* scale, int32_t* sum) {
        const Float first = load(x), second = load(x + lanes);
        const float largest = _mm512_reduce_max_ps(max(_mm512_abs_ps(first), _mm512_abs_ps(second)));
        const Float slope = splat(largest > 0 ? LEVELS / largest : 0);
        *scale = largest / LEVELS;
        const __m512i low = _mm512_cvtps_epi32(mul(first, slope)), high = _mm512_cvtps_epi32(mul(second, slope));
        *sum = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
        store_fours(values, _mm512_cvtsepi32_epi16(low));
        store_fours(values + lanes, _mm512_cvtsepi32_epi16(high));
    }

private:
    // Of each four values the first and third before the second and fourth.
    static void store_fours(int16_t* to, __m256i values) {
        values = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(values, 0xD8), 0xD8);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), values);
    }
};

constexpr Kernels KERNELS = kernels_of<Avx512>("avx512");

}  // namespace

const Kernels* avx512_kernels() { return &KERNELS; }
#else
const Kernels* avx512_kernels() { return nullptr; }
#endif
