// Micro-scaled codes: the scalar reference.
#include "micro.h"

#pragma STDC FP_CONTRACT OFF

/// Columns unpacked at a time, as in affine.c.
enum { CHUNK = 2048 };

void ingot_decode_e2m1_columns_scalar(
    const uint8_t *codes, const float *scales, size_t group, float *out, size_t first, size_t count) {
  for (size_t j = first; j < first + count; j++) {
    uint32_t code = codes[j - first];
    float value = e2m1_value(code & 7);
    out[j] = (code & 8 ? -value : value) * scales[j / group];
  }
}

void ingot_decode_e2m1(
    ingot_isa isa, const uint8_t *packed, const float *scales, size_t group, float *out, size_t count) {
  uint8_t codes[CHUNK];
  for (size_t first = 0; first < count; first += CHUNK) {
    size_t part = count - first < CHUNK ? count - first : CHUNK;
    ingot_unpack(isa, 4, packed + first / 2, codes, part);
    INGOT_DISPATCH(isa, ingot_decode_e2m1_columns, codes, scales, group, out, first, part);
  }
}

/// Weighted squared error of a group under a scale, column j in partial sum j % 16. Weights and scale are
/// multiplied by `factor`, a power of two that keeps the squares in range.
static float error_under(
    const ingot_micro_job *job, quantize_group group, float scale, float factor, float importance_factor) {
  float sums[16] = {0};
  for (size_t j = 0; j < group.count; j++) {
    float value = group.weights[j] / scale, magnitude = value < 0 ? -value : value;
    float reached = job->wide ? e4m3_value(e4m3_code(magnitude)) : e2m1_value(e2m1_code(magnitude));
    float weight = group.weights[j] < 0 ? -group.weights[j] : group.weights[j];
    float product = reached * (scale * factor);
    float residual = weight * factor - product;
    float h = group.importance ? group.importance[j] * importance_factor : 1;
    sums[j % 16] += h * residual * residual;
  }
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; i++) sums[i] += sums[i + step];
  return sums[0];
}

void ingot_quantize_micro_scalar(const ingot_micro_job *job) {
  size_t per_row = (job->columns + job->group - 1) / job->group;
  for (size_t index = 0; index < job->rows * per_row; index++) {
    quantize_group group = micro_group_at(job, index);
    float extreme = 0, peak = 0;
    for (size_t j = 0; j < group.count; j++) {
      float magnitude = group.weights[j] < 0 ? -group.weights[j] : group.weights[j];
      extreme = magnitude > extreme ? magnitude : extreme;
      if (group.importance && group.importance[j] > peak) peak = group.importance[j];
    }
    // Importance of 0 throughout says nothing: all weights count alike.
    if (!(peak > 0)) group.importance = NULL;
    uint32_t byte = micro_scale_byte(job, extreme);
    if (job->search && extreme > 0) {
      float factor = power_of_two(-clamped_exponent(extreme));
      float importance_factor = power_of_two(-clamped_exponent(peak));
      uint32_t best = byte;
      float least =
          error_under(job, group, micro_scale(job, byte), factor, importance_factor) * SEARCH_MARGIN;
      for (int i = -MICRO_BELOW(job->powers); i <= MICRO_ABOVE(job->powers); i++) {
        int candidate = (int)byte + i;
        if (i == 0 || !micro_may_try(job, candidate)) continue;
        float scale = micro_scale(job, (uint32_t)candidate);
        float error = error_under(job, group, scale, factor, importance_factor);
        if (error < least) {
          least = error;
          best = (uint32_t)candidate;
        }
      }
      byte = best;
    }
    job->scales[index] = (uint8_t)byte;
    float scale = micro_scale(job, byte);
    for (size_t j = 0; j < group.count; j++)
      job->codes[group.codes + j] = scale > 0 ? micro_code(job, group.weights[j] / scale) : 0;
  }
}

void ingot_quantize_micro(ingot_isa isa, const ingot_micro_job *job) {
  INGOT_DISPATCH(isa, ingot_quantize_micro, job);
}
