#include "cpu.h"

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif

namespace {

struct Registers {
    uint32_t a, b, c, d;
};

Registers cpuid(uint32_t leaf) {
    Registers found{};
#if defined(_MSC_VER)
    int values[4];
    __cpuidex(values, static_cast<int>(leaf), 0);
    found = {static_cast<uint32_t>(values[0]), static_cast<uint32_t>(values[1]), static_cast<uint32_t>(values[2]),
             static_cast<uint32_t>(values[3])};
#else
    __get_cpuid_count(leaf, 0, &found.a, &found.b, &found.c, &found.d);  // zeros for a leaf that there is not
#endif
    return found;
}

bool has(uint32_t word, int bit) { return word >> bit & 1; }

// The registers that the operating system saves: bits 1 and 2 are SSE's and AVX's, 5 to 7 AVX-512's.
uint32_t saved_registers() {
    if (!has(cpuid(1).c, 27)) return 0;  // it does not say
#if defined(_MSC_VER)
    return static_cast<uint32_t>(_xgetbv(0));
#else
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
#endif
}

}  // namespace

bool cpu_has_avx2() {
    const uint32_t basic = cpuid(1).c, extended = cpuid(7).b;
    return (saved_registers() & 0x6) == 0x6 && has(basic, 12) && has(basic, 29) && has(extended, 5);
}

bool cpu_has_avx512_vnni() {
    const Registers extended = cpuid(7);
    const bool all = has(extended.b, 16) && has(extended.b, 17) && has(extended.b, 30) && has(extended.b, 31);
    return cpu_has_avx2() && (saved_registers() & 0xE6) == 0xE6 && all && has(extended.c, 11);
}

bool cpu_has_dotprod() { return false; }

#else
#if defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>

bool cpu_has_dotprod() { return getauxval(AT_HWCAP) >> 20 & 1; }
#else
bool cpu_has_dotprod() { return true; }  // Apple's and Microsoft's 64-bit ARM systems
#endif

bool cpu_has_avx2() { return false; }
bool cpu_has_avx512_vnni() { return false; }
#endif
