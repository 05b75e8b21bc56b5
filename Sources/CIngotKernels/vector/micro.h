// Micro-scaled codes, sixteen columns at a time.
#ifndef INGOT_VECTOR_MICRO_H
#define INGOT_VECTOR_MICRO_H

#include "../micro.h"
#include "codes.h"
#include "search_groups.h"
#include "stored_groups.h"

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

/// `micro_scale_byte`, sixteen at once.
INGOT_INLINE lanes_i32 micro_scale_bytes(lanes_f32 extreme, bool wide, bool powers, float global) {
  if (!powers) return (lanes_i32)e4m3_codes(extreme / (wide ? 448.0f : 6.0f) * global);
  lanes_i32 exponent = (lanes_i32)(as_bits(extreme) >> 23) - (wide ? 8 : 2);
  lanes_i32 byte = exponent - ((as_bits(extreme) & 0x7FFFFF) > (wide ? 0x600000u : 0x400000u));
  byte = __builtin_elementwise_max(byte, (lanes_i32){0});
  lanes_i32 none = extreme == 0;
  return (none & 127) | (~none & byte);
}

/// `e2m1_code`, from 1 on by adding what carries over at a tie's next float.
INGOT_INLINE lanes_i32 e2m1_steps(lanes_f32 ratio) {
  lanes_f32 size = magnitudes(ratio);
  lanes_i32 normal = (lanes_i32)((as_bits(size) + 0x1FFFFF) >> 22) - 252;
  lanes_i32 small = -(size > 0.25f) - (size > 0.75f);
  lanes_i32 seven = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
  lanes_i32 code = __builtin_elementwise_max(__builtin_elementwise_min(normal, seven), small);
  return code | ((code > 0) & (lanes_i32)(as_bits(ratio) >> 28 & 8));
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

/// The scale of a group and its codes.
INGOT_INLINE void write_micro_group(const ingot_micro_job *job, quantize_group group, uint32_t byte) {
  job->scales[group.index] = (uint8_t)byte;
  float scale = micro_scale(job, byte);
  if (!(scale > 0)) {
    memset(job->codes + group.codes, 0, group.count);
    return;
  }
  for (size_t j = 0; j < group.count; j += 16) {
    size_t left = group.count - j;
    lanes_f32 w = left >= 16 ? load_lanes(group.weights + j) : load_part(group.weights + j, left, 0);
    lanes_f32 ratio = w / scale;
    lanes_u32 sign = as_bits(ratio) >> 31, code;
    if (job->wide) {
      code = e4m3_codes(magnitudes(ratio)) | sign << 7;
    } else {
      code = e2m1_codes(magnitudes(ratio));
      code |= (lanes_u32)(code > 0) & sign << 3;
    }
    lanes_u8 bytes = __builtin_convertvector(code, lanes_u8);
    memcpy(job->codes + group.codes + j, &bytes, left < 16 ? left : 16);
  }
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
  write_micro_group(job, group, byte);
}

// ---- search, sixteen groups at once ------------------------------------------------------------------

/// Sixteen groups, one a lane, column after column: magnitudes, those scaled by `factor`, importance.
typedef struct {
  lanes_f32 size[32], scaled[32], importance[32];
  lanes_f32 factor;
  size_t columns;
  bool wide, powers, divides, weighted;  // constants to the compiler
} micro_columns;

/// E2M1 value next to a magnitude, as `e2m1_value(e2m1_code(…))`: from 1 on by adding what carries over at a tie's next
/// float.
INGOT_INLINE lanes_f32 e2m1_reached(lanes_f32 ratio) {
  lanes_f32 normal = lower(as_f32((as_bits(ratio) + 0x1FFFFF) & 0xFFC00000), splat(6));
  lanes_f32 small = choose(ratio > 0.75f, splat(1), choose(ratio > 0.25f, splat(0.5f), splat(0)));
  return choose(ratio > 1, normal, small);
}

/// What column `j` adds to the error.
INGOT_INLINE lanes_f32 micro_column_error(
    const micro_columns *v, size_t j, lanes_f32 scale, lanes_f32 inverse, lanes_f32 scaled) {
  lanes_f32 w = v->size[j];
  // Powers of two divide without rounding.
  lanes_f32 ratio = v->powers ? w * inverse : v->divides ? w / scale : quotient(w, scale, inverse);
  lanes_f32 reached = v->wide ? e4m3_values(e4m3_codes(ratio)) : e2m1_reached(ratio);
  lanes_f32 product = reached * scaled, residual = v->scaled[j] - product;
  return (v->weighted ? v->importance[j] * residual : residual) * residual;
}

/// `error_under` of ../micro.c: sixteen partial sums, added up as a tree.
INGOT_INLINE lanes_f32 micro_errors(const micro_columns *v, lanes_f32 scale) {
  lanes_f32 inverse = 1 / scale, scaled = scale * v->factor, sums[16];
  for (size_t j = 0; j < 16; j++) {
    sums[j] = micro_column_error(v, j, scale, inverse, scaled);
    if (v->columns == 32) sums[j] += micro_column_error(v, j + 16, scale, inverse, scaled);
  }
  for (size_t step = 8; step > 0; step /= 2)
    for (size_t i = 0; i < step; i++) sums[i] += sums[i + step];
  return sums[0];
}

INGOT_INLINE lanes_f32 micro_scales(const ingot_micro_job *job, lanes_i32 byte) {
  return job->powers ? as_f32((lanes_u32)byte << 23) : e4m3_values((lanes_u32)byte) / job->global;
}

/// The bytes of the best scales, `byte` being those of round to nearest; lanes that are `empty` keep theirs.
INGOT_INLINE lanes_i32 micro_best_bytes(
    const ingot_micro_job *job, const micro_columns *v, lanes_i32 byte, lanes_i32 empty) {
  lanes_i32 best = byte;
  lanes_f32 least = micro_errors(v, micro_scales(job, byte)) * SEARCH_MARGIN;
  for (int i = -MICRO_BELOW(v->powers); i <= MICRO_ABOVE(v->powers); i++) {
    if (i == 0) continue;
    lanes_i32 candidate = byte + i;
    lanes_i32 tried = (candidate >= (v->powers ? 0 : 1)) & (candidate <= (v->powers ? 254 : 126)) & ~empty;
    lanes_f32 errors = micro_errors(v, micro_scales(job, (tried & candidate) | (~tried & byte)));
    lanes_i32 better = tried & (errors < least);
    least = choose(better, errors, least);
    best = (better & candidate) | (~better & best);
  }
  return best;
}

/// Searches sixteen whole groups of 16 or 32 columns from group `first` on; false where they are not what this takes.
static bool micro_search_sixteen(const ingot_micro_job *job, size_t first, size_t count) {
  micro_columns v;
  quantize_group groups[16];
  v.columns = job->group;
  for (size_t lane = 0; lane < 16; lane++) {
    groups[lane] = micro_group_at(job, first + (lane < count ? lane : count - 1));
    if (groups[lane].count != job->group) return false;
  }
  lanes_f32 extreme = splat(0), peak = extreme;
  for (size_t k = 0; k < v.columns; k += 16) {
    for (size_t lane = 0; lane < 16; lane++) v.size[k + lane] = magnitudes(load_lanes(groups[lane].weights + k));
    transpose_lanes(v.size + k);
    if (!job->importance) continue;
    for (size_t lane = 0; lane < 16; lane++) v.importance[k + lane] = load_lanes(groups[lane].importance + k);
    transpose_lanes(v.importance + k);
  }
  for (size_t j = 0; j < v.columns; j++) {
    extreme = higher(v.size[j], extreme);
    if (job->importance) peak = higher(v.importance[j], peak);
  }
  // Beyond this quotients are not what `quotient` wants, and powers of two have no inverse.
  lanes_i32 empty = extreme == 0;
  if (any_lane(~(empty | ((extreme > 0x1p-90f) & (extreme < 0x1p90f))))) return false;
  v.factor = powers_of_two(-clamped_exponents(extreme));
  lanes_f32 importance_factor = powers_of_two(-clamped_exponents(peak));
  lanes_i32 heard = peak > 0;
  for (size_t j = 0; j < v.columns; j++) {
    v.scaled[j] = v.size[j] * v.factor;
    if (job->importance) v.importance[j] = choose(heard, v.importance[j] * importance_factor, splat(1));
  }
  lanes_i32 byte = micro_scale_bytes(extreme, job->wide, job->powers, job->global);
  lanes_i32 best;
#define BEST(is_wide, with_powers, with_division, number) \
  { \
    v.wide = is_wide; \
    v.powers = with_powers; \
    v.divides = with_division; \
    v.columns = number; \
    v.weighted = job->importance != NULL; \
    if (v.weighted) { \
      v.weighted = true; \
      best = micro_best_bytes(job, &v, byte, empty); \
    } else { \
      v.weighted = false; \
      best = micro_best_bytes(job, &v, byte, empty); \
    } \
  }
  if (!job->wide && job->powers && job->group == 32) BEST(false, true, false, 32)
  else if (!job->wide && !job->powers && job->group == 16 && job->global == 1) BEST(false, false, false, 16)
  else if (!job->wide && !job->powers && job->group == 16) BEST(false, false, true, 16)
  else if (job->wide && job->powers && job->group == 32) BEST(true, true, false, 32)
  else return false;
#undef BEST
  for (size_t lane = 0; lane < count; lane++) write_micro_group(job, groups[lane], (uint32_t)best[lane]);
  return true;
}

void BODY(ingot_quantize_micro)(const ingot_micro_job *job) {
  size_t groups = job->rows * ((job->columns + job->group - 1) / job->group);
  if (job->search) {
    for (size_t first = 0; first < groups; first += 16) {
      size_t count = groups - first < 16 ? groups - first : 16;
      if (micro_search_sixteen(job, first, count)) continue;
      for (size_t index = first; index < first + count; index++)
        quantize_micro_group(job, micro_group_at(job, index), job->wide);
    }
    return;
  }
  for (size_t index = 0; index < groups; index++) {
    if (job->wide) {
      quantize_micro_group(job, micro_group_at(job, index), true);
    } else {
      quantize_micro_group(job, micro_group_at(job, index), false);
    }
  }
}

#endif
