// Kernels in plain C++: for every machine, and what the others are tested against.
#define FIMBLE_NO_UNROLLING  // compilers take a minute over it, where lanes are loops, too
#include "kernels_template.h"

namespace {

struct Plain {
    static constexpr int lanes = ROWS, vectors = 1, tokens = TILE;

    struct Float {
        float v[lanes];
    };
    struct Sum {
        int32_t v[lanes];
    };
    struct Part {
        int8_t v[lanes][4];  // four columns
    };
    static constexpr int parts = 1;
    struct Four {
        int16_t v[4];
    };

    template <class F>
    static Float each(F function) {
        Float out;
        for (int i = 0; i < lanes; ++i) out.v[i] = function(i);
        return out;
    }
    static Float zero() { return splat(0); }
    static Float splat(float x) { return each([&](int) { return x; }); }
    static Float load(const float* from) { return each([&](int i) { return from[i]; }); }
    static void store(float* to, Float x) { std::memcpy(to, x.v, sizeof x.v); }
    static Float add(Float a, Float b) { return each([&](int i) { return a.v[i] + b.v[i]; }); }
    static Float sub(Float a, Float b) { return each([&](int i) { return a.v[i] - b.v[i]; }); }
    static Float mul(Float a, Float b) { return each([&](int i) { return a.v[i] * b.v[i]; }); }
    static Float div(Float a, Float b) { return each([&](int i) { return a.v[i] / b.v[i]; }); }
    static Float fma(Float a, Float b, Float c) { return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; }); }
    static Float max(Float a, Float b) { return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; }); }
    static Float min(Float a, Float b) { return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; }); }
    static Float round(Float a) { return each([&](int i) { return std::nearbyint(a.v[i]); }); }
    static Float with_sign_of(Float a, Float b) { return each([&](int i) { return std::copysign(a.v[i], b.v[i]); }); }
    static Float power_of_two(Float n) { return each([&](int i) { return std::ldexp(1.0f, static_cast<int>(n.v[i])); }); }
    static Float halves(const uint16_t* from) { return each([&](int i) { return half_to_float(from[i]); }); }
    static Float to_float(Sum sum) { return each([&](int i) { return static_cast<float>(sum.v[i]); }); }

    // Rounded to even; what is too large for fp16 becomes its largest number.
    static uint16_t half(float value) {
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        const uint32_t sign = bits >> 16 & 0x8000u, size = bits & 0x7FFFFFFFu;
        if (size > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
        if (size >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7BFFu);
        if (size < 0x38800000u) {  // subnormal: the unit is 2^-24
            const float units = std::nearbyint(std::fabs(value) * 16777216.0f);
            return static_cast<uint16_t>(sign | static_cast<uint32_t>(units));
        }
        return static_cast<uint16_t>(sign | (size - 0x38000000u + 0xFFFu + (size >> 13 & 1u)) >> 13);
    }

    static Sum sum_from(int32_t x) {
        Sum sum;
        for (int32_t& lane : sum.v) lane = x;
        return sum;
    }
    template <int BITS>
    static Part weights(const uint8_t* from, int part) {
        Part w;
        std::memcpy(&w, from, sizeof w);
        for (auto& row : w.v)
            for (int8_t& value : row)
                if (BITS == 4) value = static_cast<int8_t>(part == 0 ? value & 0x0F : (value >> 4) & 0x0F);
        return w;
    }
    static Four activations(const int16_t* from) { return {{from[0], from[1], from[2], from[3]}}; }
    static Sum dot(Sum sum, Part w, Four x) {
        for (int i = 0; i < lanes; ++i)
            for (int k = 0; k < 4; ++k) sum.v[i] += static_cast<int32_t>(w.v[i][k]) * x.v[k];
        return sum;
    }

    static void quantize(const float* x, int16_t* values, float* scale, int32_t* sum) {
        float most = 0;
        for (int i = 0; i < GROUP; ++i) most = std::fabs(x[i]) > most ? std::fabs(x[i]) : most;
        const float slope = most > 0 ? LEVELS / most : 0;
        *scale = most / LEVELS;
        *sum = 0;
        for (int i = 0; i < GROUP; ++i) {
            const float whole = std::nearbyint(x[i] * slope);
            values[i] = std::fabs(whole) <= LEVELS ? static_cast<int16_t>(whole) : 0;  // 0 for what is no number
            *sum += values[i];
        }
    }
};

constexpr Kernels KERNELS = kernels_of<Plain>("plain");

}  // namespace

const Kernels* plain_kernels() { return &KERNELS; }
