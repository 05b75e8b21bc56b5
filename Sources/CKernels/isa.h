// How a body is chosen: each kernel has a scalar reference and a vector body written with clang's vector
// types, which a file includes once per instruction set under that set's target attribute.
#ifndef INGOT_ISA_H
#define INGOT_ISA_H

#include "ckernels.h"

#if defined(__x86_64__)
#define INGOT_X86 1
#define INGOT_TARGET_AVX2 __attribute__((target("avx,avx2,fma,f16c,bmi,bmi2")))
#define INGOT_TARGET_AVX512 \
  __attribute__((target( \
      "avx,avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi"), min_vector_width(512)))
#elif defined(__aarch64__)
#define INGOT_ARM64 1
#endif

#define INGOT_INLINE static inline __attribute__((always_inline))
#define INGOT_PASTE_(a, b) a##_##b
#define INGOT_PASTE(a, b) INGOT_PASTE_(a, b)

/// Calls name_scalar, name_avx2, … as `isa` says; the Swift face has checked that the processor has it.
#if defined(INGOT_X86)
#define INGOT_DISPATCH(isa, name, ...) \
  ((isa) == INGOT_AVX512 ? name##_avx512(__VA_ARGS__) \
   : (isa) == INGOT_AVX2 ? name##_avx2(__VA_ARGS__) \
                         : name##_scalar(__VA_ARGS__))
#elif defined(INGOT_ARM64)
#define INGOT_DISPATCH(isa, name, ...) \
  ((isa) == INGOT_NEON ? name##_neon(__VA_ARGS__) : name##_scalar(__VA_ARGS__))
#else
#define INGOT_DISPATCH(isa, name, ...) name##_scalar(__VA_ARGS__)
#endif

#endif
