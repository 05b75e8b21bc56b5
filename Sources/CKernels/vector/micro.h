// Micro-scaled codes, sixteen columns at a time.
#ifndef INGOT_VECTOR_MICRO_H
#define INGOT_VECTOR_MICRO_H

#include "../micro.h"
#include "codes.h"
#include "lanes.h"

INGOT_INLINE lanes_f32 e2m1_values(lanes_u32 magnitudes) { return as_f32(magnitudes << 22) * 0x1p126f; }

INGOT_INLINE lanes_u32 e2m1_codes(lanes_f32 magnitudes) {
  lanes_i32 passed = (magnitudes > 0.25f) + (magnitudes > 0.75f) + (magnitudes > 1.25f) +
                     (magnitudes > 1.75f) + (magnitudes > 2.5f) + (magnitudes > 3.5f) + (magnitudes > 5);
  return (lanes_u32)-passed;
}

INGOT_INLINE lanes_f32 e4m3_values(lanes_u32 magnitudes) {
  lanes_f32 small = __builtin_convertvector((lanes_i32)magnitudes, lanes_f32) * 0x1p-9f;
  return choose(magnitudes < 8, small, as_f32((magnitudes << 20) + 0x3C000000));
}

INGOT_INLINE lanes_u32 e4m3_codes(lanes_f32 magnitudes) {
  magnitudes = lower(magnitudes, splat(448));
  lanes_i32 small = magnitudes < 0x1p-6f;
  lanes_f32 steps = choose(small, round_even_lanes(magnitudes * 0x1p9f), splat(0));
  lanes_u32 bits = as_bits(magnitudes);
  lanes_u32 normal = ((bits + 0x7FFFF + (bits >> 20 & 1)) >> 20) - 0x3C0;
  lanes_u32 subnormal = (lanes_u32)__builtin_convertvector(steps, lanes_i32);
  return ((lanes_u32)small & subnormal) | (~(lanes_u32)small & normal);
}

void BODY(ingot_decode_e2m1_columns)(
    const uint8_t *codes, const float *scales, size_t group, float *out, size_t first, size_t count) {
  for (size_t j = first, end = first + count; j < end;) {
    size_t g = j / group, stop = (g + 1) * group;
    if (stop > end) stop = end;
    float scale = scales[g];
    for (; j + 16 <= stop; j += 16) {
      lanes_u32 code = (lanes_u32)load_codes(codes + (j - first));
      lanes_f32 value = e2m1_values(code & 7);
      store_lanes(out + j, as_f32(as_bits(value) | (code & 8) << 28) * scale);
    }
    if (j < stop) {
      ingot_decode_e2m1_columns_scalar(codes + (j - first), scales, group, out, j, stop - j);
      j = stop;
    }
  }
}

/// The columns of a group in vectors; `steps` of them, lanes past its end 0 and without importance.
typedef struct {
  lanes_f32 weights[2], importance[2];
  size_t steps;
} micro_lanes;

INGOT_INLINE float micro_error(const micro_lanes *group, bool wide, float scale, float factor) {
  lanes_f32 sum = splat(0);
  float scaled = scale * factor;
  for (size_t k = 0; k < group->steps; k++) {
    lanes_f32 weight = magnitudes(group->weights[k]);
    lanes_f32 ratio = magnitudes(group->weights[k] / scale);
    lanes_f32 reached = wide ? e4m3_values(e4m3_codes(ratio)) : e2m1_values(e2m1_codes(ratio));
    lanes_f32 product = reached * scaled;
    lanes_f32 residual = weight * factor - product;
    sum += group->importance[k] * residual * residual;
  }
  return sum_across(sum)[0];
}

INGOT_INLINE void quantize_micro_group(const ingot_micro_job *job, quantize_group group, bool wide) {
  micro_lanes lanes;
  lanes.steps = (group.count + 15) / 16;
  lanes_f32 extremes = splat(0), peaks = splat(0);
  for (size_t k = 0; k < lanes.steps; k++) {
    size_t left = group.count - 16 * k;
    bool whole = left >= 16;
    const float *weights = group.weights + 16 * k;
    lanes.weights[k] = whole ? load_lanes(weights) : load_part(weights, left, 0);
    extremes = higher(magnitudes(lanes.weights[k]), extremes);
    if (!group.importance) continue;
    const float *importance = group.importance + 16 * k;
    lanes.importance[k] = whole ? load_lanes(importance) : load_part(importance, left, 0);
    peaks = higher(lanes.importance[k], peaks);
  }
  float extreme = -lowest(-extremes), peak = -lowest(-peaks);
  uint32_t byte = micro_scale_byte(job, extreme);
  if (job->search && extreme > 0) {
    float factor = power_of_two(-clamped_exponent(extreme));
    float importance_factor = power_of_two(-clamped_exponent(peak));
    for (size_t k = 0; k < lanes.steps; k++) {
      size_t left = group.count - 16 * k;
      lanes_f32 alike = splat(0);
      for (size_t i = 0; i < 16; i++) alike[i] = i < left;
      lanes.importance[k] = peak > 0 ? lanes.importance[k] * importance_factor : alike;
    }
    uint32_t best = byte;
    float least = micro_error(&lanes, wide, micro_scale(job, byte), factor) * SEARCH_MARGIN;
    for (int i = -MICRO_BELOW(job->powers); i <= MICRO_ABOVE(job->powers); i++) {
      int candidate = (int)byte + i;
      if (i == 0 || !micro_may_try(job, candidate)) continue;
      float error = micro_error(&lanes, wide, micro_scale(job, (uint32_t)candidate), factor);
      if (error < least) {
        least = error;
        best = (uint32_t)candidate;
      }
    }
    byte = best;
  }
  job->scales[group.index] = (uint8_t)byte;
  float scale = micro_scale(job, byte);
  if (!(scale > 0)) {
    memset(job->codes + group.codes, 0, group.count);
    return;
  }
  for (size_t k = 0; k < lanes.steps; k++) {
    lanes_f32 ratio = lanes.weights[k] / scale;
    lanes_u32 sign = as_bits(ratio) >> 31, code;
    if (wide) {
      code = e4m3_codes(magnitudes(ratio)) | sign << 7;
    } else {
      code = e2m1_codes(magnitudes(ratio));
      code |= (lanes_u32)(code > 0) & sign << 3;
    }
    lanes_u8 bytes = __builtin_convertvector(code, lanes_u8);
    size_t left = group.count - 16 * k;
    memcpy(job->codes + group.codes + 16 * k, &bytes, left < 16 ? left : 16);
  }
}

void BODY(ingot_quantize_micro)(const ingot_micro_job *job) {
  size_t groups = job->rows * ((job->columns + job->group - 1) / job->group);
  for (size_t index = 0; index < groups; index++) {
    if (job->wide) {
      quantize_micro_group(job, micro_group_at(job, index), true);
    } else {
      quantize_micro_group(job, micro_group_at(job, index), false);
    }
  }
}

#endif
