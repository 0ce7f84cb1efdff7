// In place of the compiler's header: AVX-512 in plain C++ by SIMDe, and what its older releases lack.
#pragma once

#undef __AVX512BW__
#undef __AVX512VNNI__
#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>

#include <cmath>
#include <cstdint>

#ifndef _MM_FROUND_NO_EXC
#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC
#endif

namespace emulated {

struct Floats {
    float v[16];
};
struct Ints {
    int32_t v[16];
};

inline Floats floats(__m512 x) {
    Floats y;
    _mm512_storeu_ps(y.v, x);
    return y;
}
inline Ints ints(__m512i x) {
    Ints y;
    _mm512_storeu_si512(y.v, x);
    return y;
}

inline __m512i cvtps_epi32(__m512 x) {
    const Floats from = floats(x);
    Ints to;
    for (int i = 0; i < 16; ++i) {
        const float whole = std::nearbyint(from.v[i]);
        to.v[i] = whole >= -2147483648.0f && whole < 2147483648.0f ? static_cast<int32_t>(whole) : INT32_MIN;
    }
    return _mm512_loadu_si512(to.v);
}
inline __m512 cvtepi32_ps(__m512i x) {
    const Ints from = ints(x);
    Floats to;
    for (int i = 0; i < 16; ++i) to.v[i] = static_cast<float>(from.v[i]);
    return _mm512_loadu_ps(to.v);
}
inline __m512 cvtph_ps(__m256i x) {
    uint16_t from[16];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(from), x);
    Floats to;
    for (int i = 0; i < 16; ++i) to.v[i] = half_to_float(from[i]);
    return _mm512_loadu_ps(to.v);
}
inline float reduce_max_ps(__m512 x) {
    Floats from = floats(x);
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; ++i) from.v[i] = from.v[i] > from.v[i + width] ? from.v[i] : from.v[i + width];
    return from.v[0];
}
inline int32_t reduce_add_epi32(__m512i x) {
    uint32_t total = 0;
    for (const int32_t value : ints(x).v) total += static_cast<uint32_t>(value);
    return static_cast<int32_t>(total);
}

}  // namespace emulated

#define _mm512_cvtps_epi32 emulated::cvtps_epi32
#define _mm512_cvtepi32_ps emulated::cvtepi32_ps
#define _mm512_cvtph_ps emulated::cvtph_ps
#define _mm512_reduce_max_ps emulated::reduce_max_ps
#define _mm512_reduce_add_epi32 emulated::reduce_add_epi32
