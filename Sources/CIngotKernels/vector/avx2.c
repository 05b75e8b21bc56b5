// The vector bodies for AVX2.
#include <string.h>

#include "../quantize.h"
#include "../xxh3.h"

#if defined(INGOT_X86)
#include <immintrin.h>
#define INGOT_SUFFIX avx2
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#include "bodies.h"
#pragma clang attribute pop
#endif
