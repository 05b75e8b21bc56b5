#include "isa.h"

#include <stdlib.h>
#include <string.h>

bool ingot_isa_supported(ingot_isa isa) {
  switch (isa) {
    case INGOT_SCALAR: return true;
#if defined(INGOT_X86)
    case INGOT_AVX2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi") &&
             __builtin_cpu_supports("bmi2");
    case INGOT_AVX512:
      return ingot_isa_supported(INGOT_AVX2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
#elif defined(INGOT_ARM64)
    case INGOT_NEON: return true;
#endif
    default: return false;
  }
}

ingot_isa ingot_isa_best(void) {
  static const char *const names[] = {"scalar", "avx2", "avx512", "neon"};
  ingot_isa best = INGOT_SCALAR;
  for (ingot_isa isa = INGOT_AVX2; isa <= INGOT_NEON; isa++)
    if (ingot_isa_supported(isa)) best = isa;
  const char *limit = getenv("INGOT_ISA");
  for (ingot_isa isa = INGOT_SCALAR; limit && isa <= INGOT_NEON; isa++)
    if (!strcmp(limit, names[isa]) && isa < best && ingot_isa_supported(isa)) return isa;
  return best;
}
