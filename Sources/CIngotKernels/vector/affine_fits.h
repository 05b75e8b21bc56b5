// Parameters of sixteen groups at once, one per lane: the vector twin of the functions in ../quantize.h.
#ifndef INGOT_VECTOR_AFFINE_FITS_H
#define INGOT_VECTOR_AFFINE_FITS_H

#include "../quantize.h"
#include "lanes.h"

typedef struct {
  lanes_f32 step, zero, bias;
} lane_fits;

INGOT_INLINE lanes_f32 stored_lanes(ingot_float storage, lanes_f32 value) {
  float greatest = storage == INGOT_F16 ? 65504.0f : storage == INGOT_BF16 ? 0x1.FEp127f : 0x1.FFFFFEp127f;
  value = higher(lower(value, splat(greatest)), splat(-greatest));
  if (storage == INGOT_F32) return value;
  lanes_u32 bits = as_bits(value);
  if (storage == INGOT_BF16) return as_f32((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000);
  lanes_u32 magnitude = bits & 0x7FFFFFFF, sign = bits & 0x80000000;
  lanes_u32 normal = (magnitude + 0xFFF + (magnitude >> 13 & 1)) & 0xFFFFE000;
  lanes_f32 subnormal = as_f32(magnitude) + 0.5f;
  subnormal -= 0.5f;
  lanes_i32 small = magnitude < 0x38800000;
  return as_f32(as_bits(choose(small, subnormal, as_f32(normal))) | sign);
}

INGOT_INLINE lanes_f32 stored_steps(ingot_float storage, lanes_f32 value) {
  float least = storage == INGOT_F16 ? 0x1p-24f : storage == INGOT_BF16 ? 0x1p-133f : 0x1p-149f;
  lanes_i32 negative = value < 0;
  lanes_f32 magnitude = higher(choose(negative, -value, value), splat(least));
  return stored_lanes(storage, choose(negative, -magnitude, magnitude));
}

INGOT_INLINE lane_fits round_to_nearest_fits(
    ingot_scheme scheme, ingot_float storage, unsigned bits, lanes_f32 low, lanes_f32 high) {
  lanes_f32 none = splat(0), most = splat((float)((1 << bits) - 1));
  float half = (float)(1 << (bits - 1));
  lane_fits fits = {none, none, none};
  if (scheme == INGOT_SYMMETRIC) {
    lanes_f32 extreme = choose(-low > high, -low, high);
    fits.zero = splat(half);
    fits.step = choose(extreme > 0, stored_steps(storage, extreme / (half - 0.5f)), none);
    return fits;
  }
  if (scheme == INGOT_BIAS) {
    fits.bias = stored_lanes(storage, low) + 0.0f;
  } else {
    low = choose(low < 0, low, none);
    high = choose(high > 0, high, none);
  }
  lanes_i32 constant = low == high;
  fits.step = choose(constant, none, stored_steps(storage, (high * 0.5f - low * 0.5f) / (most * 0.5f)));
  if (scheme == INGOT_ZERO_POINT)
    fits.zero = choose(constant, none, round_even_lanes(clamp_lanes(-low / fits.step, none, most)));
  return fits;
}

/// Writes the parameters of groups first ..< first + count.
INGOT_INLINE void write_fits(const ingot_quantize_job *job, size_t first, size_t count, lane_fits fits) {
  for (size_t lane = 0; lane < count; lane++) {
    affine_fit fit = {fits.step[lane], fits.zero[lane], fits.bias[lane]};
    write_fit(job, first + lane, fit);
  }
}

#endif
