// OpenBLAS picks its kernels by processor when it is loaded, and knows only the processors of its time.
#include <string.h>

#include "products.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

const char *better_blas_core(const char *taken) {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  char vendor[12];
  if (!__get_cpuid(0, &a, &b, &c, &d)) return NULL;
  memcpy(vendor, &b, 4);
  memcpy(vendor + 4, &d, 4);
  memcpy(vendor + 8, &c, 4);
  if (memcmp(vendor, "AuthenticAMD", 12) || !__get_cpuid(1, &a, &b, &c, &d)) return NULL;
  unsigned family = (a >> 8 & 15) + (a >> 20 & 255);
  bool wide = !strcmp(taken, "SkylakeX") || !strcmp(taken, "Cooperlake") || !strcmp(taken, "SapphireRapids");
  // Zen 4 executes AVX-512 by halves: the kernels for AVX2 have the same peak, and reach it with far fewer tokens.
  if (family == 0x19) return wide ? "Zen" : NULL;
  // Zen 5 executes it whole, and is taken for a Zen or a Haswell.
  if (family >= 0x1A && ingot_isa_supported(INGOT_AVX512)) return wide ? NULL : "SkylakeX";
#else
  (void)taken;
#endif
  return NULL;
}
