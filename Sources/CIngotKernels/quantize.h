// What the quantizers share: the walk over groups, scales as they will be stored, and the search's grid.
#ifndef INGOT_QUANTIZE_H
#define INGOT_QUANTIZE_H

#include "floats.h"

#pragma STDC FP_CONTRACT OFF

/// One group: `count` weights, their importance (or null), and where its results go.
typedef struct {
  const float *weights, *importance;
  size_t count, codes, index;  // first code, and number of the group for its scale and offset
} quantize_group;

INGOT_INLINE size_t groups_per_row(const ingot_quantize_job *job) {
  return (job->columns + job->group - 1) / job->group;
}

INGOT_INLINE quantize_group group_at(const ingot_quantize_job *job, size_t index) {
  size_t per_row = groups_per_row(job), first = index % per_row * job->group;
  size_t codes = index / per_row * job->columns + first, left = job->columns - first;
  quantize_group group = {
      job->weights + codes, job->importance ? job->importance + first : NULL,
      left < job->group ? left : job->group, codes, index};
  return group;
}

/// Parameters of a group: code u stands for step * (u - zero), or step * u + bias.
typedef struct {
  float step, zero, bias;
} affine_fit;

/// `value` as the storage type holds it: to nearest even, never infinite.
INGOT_INLINE float stored(ingot_float storage, float value) {
  float greatest = storage == INGOT_F16 ? 65504.0f : storage == INGOT_BF16 ? 0x1.FEp127f : 0x1.FFFFFEp127f;
  value = value < greatest ? value : greatest;
  value = value > -greatest ? value : -greatest;
  switch (storage) {
    case INGOT_F16: return float_of_f16(f16_of_float(value));
    case INGOT_BF16: return float_of_bf16(bf16_of_float(value));
    default: return value;
  }
}

/// A step as stored: like `stored`, but not 0 either.
INGOT_INLINE float stored_step(ingot_float storage, float value) {
  float least = storage == INGOT_F16 ? 0x1p-24f : storage == INGOT_BF16 ? 0x1p-133f : 0x1p-149f;
  float magnitude = value < 0 ? -value : value;
  magnitude = magnitude > least ? magnitude : least;
  return stored(storage, value < 0 ? -magnitude : magnitude);
}

/// To the nearest integer, ties to even; |value| below 2^22.
INGOT_INLINE float round_even(float value) { return value + 0x1.8p23f - 0x1.8p23f; }

INGOT_INLINE float clamp(float value, float low, float high) {
  value = value > low ? value : low;
  return value < high ? value : high;
}

/// Writes the parameters of group `index`.
INGOT_INLINE void write_fit(const ingot_quantize_job *job, size_t index, affine_fit fit) {
  encode_one(job->storage, fit.step, job->scales, index);
  if (job->scheme == INGOT_ZERO_POINT) job->zeros[index] = (uint8_t)fit.zero;
  if (job->scheme == INGOT_BIAS) encode_one(job->storage, fit.bias, job->biases, index);
}

/// Round to nearest from the extremes of a group; all as will be stored, step 0 for a constant group.
///
/// Symmetric: step = max|w| / (2^(b-1) - 1/2), the least with which no weight is further than half a step
/// from one of the codes -2^(b-1)…2^(b-1)-1.
INGOT_INLINE affine_fit round_to_nearest_fit(
    ingot_scheme scheme, ingot_float storage, unsigned bits, float low, float high) {
  affine_fit fit = {0, 0, 0};
  float most = (float)((1 << bits) - 1), half = (float)(1 << (bits - 1));
  switch (scheme) {
    case INGOT_SYMMETRIC: {
      float extreme = -low > high ? -low : high;
      fit.zero = half;
      if (extreme > 0) fit.step = stored_step(storage, extreme / (half - 0.5f));
      break;
    }
    case INGOT_ZERO_POINT:
      low = low < 0 ? low : 0;
      high = high > 0 ? high : 0;
      if (low == high) break;
      // Halved, so that the range cannot overflow.
      fit.step = stored_step(storage, (high * 0.5f - low * 0.5f) / (most * 0.5f));
      fit.zero = round_even(clamp(-low / fit.step, 0, most));
      break;
    case INGOT_BIAS:
      fit.bias = stored(storage, low) + 0.0f;
      if (low == high) break;
      fit.step = stored_step(storage, (high * 0.5f - low * 0.5f) / (most * 0.5f));
      break;
  }
  return fit;
}

// ---- search ------------------------------------------------------------------------------------------

/// Groups up to this size are summed column after column (a vector body takes 16 groups at once, one a lane);
/// longer ones in 16 interleaved partial sums.
enum { SEARCH_LANE_GROUP = 256 };

enum { SEARCH_CANDIDATES = 20, SEARCH_REFITS = 3 };

/// Share of the range left out at the low and the high end, in units of `search_unit`; symmetric steps use
/// `search_symmetric` alone, once with either sign.
extern const float search_low[SEARCH_CANDIDATES], search_high[SEARCH_CANDIDATES];
extern const float search_symmetric[SEARCH_CANDIDATES / 2];
/// By scheme and bits: the fewer the codes, the more of a group's tails are worth clipping.
extern const float search_unit[3][9];

/// A search result replaces round to nearest only if it is better by more than the sums' own rounding.
#define SEARCH_MARGIN 0x1.FFF8p-1f

INGOT_INLINE int clamped_exponent(float magnitude) {
  int exponent = (int)(float_bits(magnitude) >> 23 & 255) - 127;
  return exponent < -126 ? -126 : exponent > 126 ? 126 : exponent;
}

INGOT_INLINE float power_of_two(int exponent) { return float_of((uint32_t)(exponent + 127) << 23); }

#endif
