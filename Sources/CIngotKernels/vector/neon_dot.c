// Sums of products of bytes for Advanced SIMD with dot products.
#include <string.h>

#include "../quantize.h"

#if defined(INGOT_ARM64)
#include <arm_neon.h>
#define INGOT_SUFFIX neon_dot
#define INGOT_DOT 1
#define CODES_UNPACK ingot_unpack_neon
#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#include "rounded.h"
#pragma clang attribute pop
#endif
