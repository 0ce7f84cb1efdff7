// fp16 to fp32, for machines or places without an instruction for it. Local to each file, as `kernels_template.h` says.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

[[maybe_unused]] inline float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16, rest = half & 0x7FFFu;
    uint32_t bits = 0;
    float value = 0;
    if (rest >= 0x7C00u) {  // infinite, or not a number
        bits = 0x7F800000u | (rest & 0x3FFu) << 13;
    } else if (rest >= 0x400u) {
        bits = (rest << 13) + (112u << 23);
    } else {  // subnormal: exact in fp32
        value = static_cast<float>(rest) * 5.9604644775390625e-8f;
        std::memcpy(&bits, &value, sizeof bits);
    }
    bits |= sign;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace
