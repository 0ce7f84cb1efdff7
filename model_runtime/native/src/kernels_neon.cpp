// Kernels for 64-bit ARM with the dot product instructions: Apple's M1 and later, ARMv8.2 and later elsewhere.
#include "kernels_template.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>

namespace {

struct Neon {
    static constexpr int lanes = 4, vectors = ROWS / lanes, tokens = TILE;

    using Float = float32x4_t;
    struct Sum {
        int32x4_t high, low;  // of the activations' bytes
    };
    using Part = int8x16_t;  // four columns
    static constexpr int parts = 1;
    struct Bytes {
        int8x16_t high, low;  // an activation is 256 · high + low
    };

    static Float zero() { return vdupq_n_f32(0); }
    static Float splat(float x) { return vdupq_n_f32(x); }
    static Float load(const float* from) { return vld1q_f32(from); }
    static void store(float* to, Float x) { vst1q_f32(to, x); }
    static Float add(Float a, Float b) { return vaddq_f32(a, b); }
    static Float sub(Float a, Float b) { return vsubq_f32(a, b); }
    static Float mul(Float a, Float b) { return vmulq_f32(a, b); }
    static Float div(Float a, Float b) { return vdivq_f32(a, b); }
    static Float fma(Float a, Float b, Float c) { return vfmaq_f32(c, a, b); }
    static Float max(Float a, Float b) { return vmaxq_f32(a, b); }
    static Float min(Float a, Float b) { return vminq_f32(a, b); }
    static Float round(Float a) { return vrndnq_f32(a); }
    static Float with_sign_of(Float a, Float b) { return vbslq_f32(vdupq_n_u32(0x80000000u), b, a); }
    static Float power_of_two(Float n) {
        return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
    }
    static Float halves(const uint16_t* from) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))); }
    static Float to_float(Sum sum) { return vcvtq_f32_s32(vaddq_s32(vshlq_n_s32(sum.high, 8), sum.low)); }
    static uint16_t half(float value) {
        const Float cut = vmaxq_f32(vminq_f32(vdupq_n_f32(value), vdupq_n_f32(65504.0f)), vdupq_n_f32(-65504.0f));
        return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(cut)), 0);
    }

    static Sum sum_from(int32_t x) { return {vdupq_n_s32(0), vdupq_n_s32(x)}; }
    template <int BITS>
    static Part weights(const uint8_t* from, int part) {
        const uint8x16_t all = vld1q_u8(from);
        if (BITS == 8) return vreinterpretq_s8_u8(all);
        return vreinterpretq_s8_u8(part == 0 ? vandq_u8(all, vdupq_n_u8(0x0F)) : vshrq_n_u8(all, 4));
    }
    static Bytes activations(const int16_t* from) {  // four high bytes, then four low ones
        int32_t high, low;
        std::memcpy(&high, from, sizeof high);
        std::memcpy(&low, from + 2, sizeof low);
        return {vreinterpretq_s8_s32(vdupq_n_s32(high)), vreinterpretq_s8_s32(vdupq_n_s32(low))};
    }
    static Sum dot(Sum sum, Part w, Bytes x) {
        return {vdotq_s32(sum.high, w, x.high), vdotq_s32(sum.low, w, x.low)};
    }

    static void quantize(const float* x, int16_t* values, float* scale, int32_t* sum) {
        Float most = zero();
        for (int i = 0; i < GROUP; i += lanes) most = max(most, vabsq_f32(load(x + i)));
        const float largest = vmaxvq_f32(most);
        const Float slope = splat(largest > 0 ? LEVELS / largest : 0);
        *scale = largest / LEVELS;
        int32x4_t sums = vdupq_n_s32(0);
        for (int i = 0; i < GROUP; i += lanes) {
            const int32x4_t rounded = vcvtnq_s32_f32(mul(load(x + i), slope));
            sums = vaddq_s32(sums, rounded);
            const int32x4_t high = vshrq_n_s32(vaddq_s32(rounded, vdupq_n_s32(128)), 8);
            const int32x4_t low = vsubq_s32(rounded, vshlq_n_s32(high, 8));
            const int16x8_t both = vcombine_s16(vmovn_s32(high), vmovn_s32(low));
            vst1_s8(reinterpret_cast<int8_t*>(values + i), vmovn_s16(both));
        }
        *sum = vaddvq_s32(sums);
    }
};

constexpr Kernels KERNELS = kernels_of<Neon>("neon");

}  // namespace

const Kernels* neon_kernels() { return &KERNELS; }
#else
const Kernels* neon_kernels() { return nullptr; }
#endif
