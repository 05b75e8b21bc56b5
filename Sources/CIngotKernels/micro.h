// Micro-scaled codes: small floats with one power of two or E4M3 scale a group. What the scalar reference and
// the vector bodies share.
#ifndef INGOT_MICRO_H
#define INGOT_MICRO_H

#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

/// Scales tried below and above the one that round to nearest takes. A power of two above it only loses: its
/// grid is the upper part of the one below. An E4M3 scale grows by about an eighth from code to code, so that
/// these reach from a clipped 6 to an extreme that stands for 4.
#define MICRO_BELOW(powers) ((powers) ? 2 : 4)
#define MICRO_ABOVE(powers) ((powers) ? 0 : 7)

/// Value of an E2M1 magnitude 0…7: 0, 1/2, 1, 3/2, 2, 3, 4, 6. Its bits stand at the place of exponent and
/// mantissa, 2^126 too small, subnormals included.
INGOT_INLINE float e2m1_value(uint32_t magnitude) { return float_of(magnitude << 22) * 0x1p126f; }

/// The nearest E2M1 magnitude; a tie goes to the smaller one.
INGOT_INLINE uint32_t e2m1_code(float magnitude) {
  return (uint32_t)(magnitude > 0.25f) + (magnitude > 0.75f) + (magnitude > 1.25f) + (magnitude > 1.75f) +
         (magnitude > 2.5f) + (magnitude > 3.5f) + (magnitude > 5);
}

/// Value of an E4M3 magnitude 0…126.
INGOT_INLINE float e4m3_value(uint32_t magnitude) {
  return magnitude < 8 ? (float)magnitude * 0x1p-9f : float_of((magnitude << 20) + 0x3C000000);
}

/// The nearest E4M3 magnitude, ties to even; 448 for all above.
INGOT_INLINE uint32_t e4m3_code(float magnitude) {
  magnitude = magnitude < 448 ? magnitude : 448;
  if (magnitude < 0x1p-6f) return (uint32_t)round_even(magnitude * 0x1p9f);
  uint32_t bits = float_bits(magnitude);
  return ((bits + 0x7FFFF + (bits >> 20 & 1)) >> 20) - 0x3C0;
}

/// What a scale's byte stands for. E8M0: 2^(byte - 127), 255 being NaN, which no quantizer writes.
INGOT_INLINE float micro_scale(const ingot_micro_job *job, uint32_t byte) {
  if (job->powers) return byte == 0 ? 0x1p-127f : float_of(byte << 23);
  return e4m3_value(byte) / job->global;
}

/// The scale's byte by round to nearest, from the largest magnitude of a group.
///
/// E8M0: the least power of two with which the greatest code reaches it. E4M3: the scale nearest to the one
/// with which the greatest code equals it; it may be 0.
INGOT_INLINE uint32_t micro_scale_byte(const ingot_micro_job *job, float extreme) {
  float greatest = job->wide ? 448 : 6;
  if (!job->powers) {
    float scale = extreme / greatest;
    return e4m3_code(scale * job->global);
  }
  if (!(extreme > 0)) return 127;
  // extreme <= 1.5 (or 1.75) * 2^(byte - 127) * 2^shift, held against the mantissa.
  int exponent = (int)(float_bits(extreme) >> 23), shift = job->wide ? 8 : 2;
  uint32_t mantissa = float_bits(extreme) & 0x7FFFFF, most = job->wide ? 0x600000 : 0x400000;
  int byte = exponent - shift + (mantissa > most);
  return byte < 0 ? 0 : (uint32_t)byte;
}

/// Whether the search may take this byte for a scale: none that means 0, infinity or NaN.
INGOT_INLINE bool micro_may_try(const ingot_micro_job *job, int byte) {
  return byte >= (job->powers ? 0 : 1) && byte <= (job->powers ? 254 : 126);
}

/// One group of the job.
INGOT_INLINE quantize_group micro_group_at(const ingot_micro_job *job, size_t index) {
  size_t per_row = (job->columns + job->group - 1) / job->group;
  size_t first = index % per_row * job->group, codes = index / per_row * job->columns + first;
  size_t left = job->columns - first;
  quantize_group group = {
      job->weights + codes, job->importance ? job->importance + first : NULL,
      left < job->group ? left : job->group, codes, index};
  return group;
}

/// The code of a weight divided by its scale, one per byte with its sign. An E2M1 zero has none.
INGOT_INLINE uint8_t micro_code(const ingot_micro_job *job, float value) {
  float magnitude = value < 0 ? -value : value;
  uint32_t sign = float_bits(value) >> 31;
  if (job->wide) return (uint8_t)(e4m3_code(magnitude) | sign << 7);
  uint32_t code = e2m1_code(magnitude);
  return (uint8_t)(code | (code ? sign << 3 : 0));
}

#endif
