#include "amx.h"

#include <cstdint>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace cellzoo {

#if defined(__x86_64__) && defined(__linux__)

bool may_use_amx() {
    constexpr unsigned xsave_in_use = 1u << 27, tiles = 1u << 24, products = 1u << 22, avx512_bfloat16 = 1u << 5;
    constexpr unsigned registers = 0xe0 + 6, tile_state = 3u << 17;  // of AVX-512 and before, and of AMX
    constexpr long request_permission = 0x1023, tile_data = 18;      // arch_prctl: ARCH_REQ_XCOMP_PERM
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & xsave_in_use)) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & tiles) == 0 || (d & products) == 0) return false;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || (a & avx512_bfloat16) == 0) return false;
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    constexpr unsigned needed = registers | tile_state;
    return (low & needed) == needed && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

#else

bool may_use_amx() { return false; }

#endif

}  // namespace cellzoo
