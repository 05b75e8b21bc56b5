// Sums of products of bytes for AVX-512 with VNNI.
#include <string.h>

#include "../quantize.h"

#if defined(INGOT_X86)
#include <immintrin.h>
#define INGOT_SUFFIX avx512_vnni
#define INGOT_VNNI 1
#define CODES_UNPACK ingot_unpack_avx512
#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni"))), \
    apply_to = function)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpsabi"
#include "rounded.h"
#pragma clang diagnostic pop
#pragma clang attribute pop
#endif
