// Round to nearest into GGML blocks: parameters of a block from its extremes, as llama.cpp's reference
// quantizers take them. Where those would store an infinity or compute with one (weights above 5e5 or below
// 1e-38), scales stay finite.
#ifndef INGOT_GGML_NEAREST_H
#define INGOT_GGML_NEAREST_H

#include "ggml.h"
#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

INGOT_INLINE bool ggml_rounds(ingot_ggml type) {
  return type == INGOT_Q4_0 || type == INGOT_Q4_1 || type == INGOT_Q5_0 || type == INGOT_Q5_1 ||
         type == INGOT_Q8_0 || type == INGOT_MXFP4;
}

/// A block's code is the whole part of (weight - base) * inverse + offset, within 0…most.
typedef struct {
  uint16_t d, m;
  float base, inverse, offset;
} ggml_rounding;

INGOT_INLINE float within_f16(float value) {
  value = value < 65504.0f ? value : 65504.0f;
  return value > -65504.0f ? value : -65504.0f;
}

/// `extreme` is the first weight of largest magnitude, low and high are the extremes.
INGOT_INLINE ggml_rounding ggml_rounding_for(ingot_ggml type, float extreme, float low, float high) {
  ggml_rounding r = {0, 0, 0, 0, 0.5f};
  float d;
  switch (type) {
    case INGOT_Q4_0:
      d = extreme / -8.0f;
      r.offset = 8.5f;
      break;
    case INGOT_Q5_0:
      d = extreme / -16.0f;
      r.offset = 16.5f;
      break;
    case INGOT_Q4_1: d = (high - low) / 15.0f; break;
    case INGOT_Q5_1: d = (high - low) / 31.0f; break;
    default: d = (extreme < 0 ? -extreme : extreme) / 127.0f; break;
  }
  if (type == INGOT_Q4_1 || type == INGOT_Q5_1) {
    r.base = within_f16(low);
    r.m = f16_of_float(r.base);
  }
  d = within_f16(d);
  r.d = f16_of_float(d);
  r.inverse = d != 0 ? 1.0f / d : 0;
  // The reciprocal of what F16 holds as 0 may overflow.
  if (r.inverse - r.inverse != 0) r.inverse = 0;
  return r;
}

/// The exponent that puts the greatest weight among the codes: floor(log2(greatest)) - 2, biased.
///
/// The logarithm is one rounded to F32: just below a power of two it may round up to the whole number. The
/// n-th float below 2^k is n * 2^-24 / ln 2 below k, which is nothing when it is less than half the step
/// below k.
INGOT_INLINE unsigned e8m0_of_greatest(float greatest) {
  if (!(greatest > 0)) return 0;
  uint32_t bits = float_bits(greatest);
  int exponent = (int)(bits >> 23) - 127, above = exponent + 1;
  uint32_t below = 0x800000 - (bits & 0x7FFFFF);
  uint32_t size = (uint32_t)(above < 0 ? -above : above);
  // Half the step of F32 next to k on the side of 0 or away from it, in units of 2^-24.
  uint32_t step = size <= 1 ? 0 : 31 - (uint32_t)__builtin_clz(above > 0 ? size - 1 : size);
  float half = (float)(1u << step);
  if (exponent >= -126 && above != 0 && (float)below * 0x1.715476p0f < half) exponent = above;
  exponent += 125;
  return exponent < 0 ? 0 : (unsigned)exponent;
}

/// Code of E2M1 next to weight / (2 * half), half the scale; ties to the smaller magnitude, no minus zero.
INGOT_INLINE uint8_t e2m1_nearest(float weight, float half) {
  float magnitude = weight < 0 ? -weight : weight;
  int code = (magnitude > half * 0.5f) + (magnitude > half * 1.5f) + (magnitude > half * 2.5f) +
             (magnitude > half * 3.5f) + (magnitude > half * 5) + (magnitude > half * 7) +
             (magnitude > half * 10);
  return (uint8_t)(weight < 0 && code > 0 ? code + 8 : code);
}

/// Exponents that a search tries, from that of the greatest weight: one that cuts it off, one that is
/// coarser.
enum { GGML_EXPONENTS = 3 };
INGOT_INLINE unsigned e8m0_tried(unsigned greatest, int i) {
  if (i == 1) return greatest + 1;
  return i == 2 && greatest > 0 ? greatest - 1 : greatest;
}

/// A power of two by which residuals are scaled so that their squares stay finite.
INGOT_INLINE float e8m0_factor(unsigned greatest) {
  return power_of_two(-clamped_exponent(half_of_e8m0(greatest)));
}

#endif
