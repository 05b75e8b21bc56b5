// The vector bodies for AVX-512.
#include <string.h>

#include "../quantize.h"
#include "../xxh3.h"

#if defined(INGOT_X86)
#include <immintrin.h>
#define INGOT_SUFFIX avx512
#define INGOT_VBMI 1
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi"))), \
    apply_to = function)
#include "bodies.h"
#pragma clang attribute pop
#endif
