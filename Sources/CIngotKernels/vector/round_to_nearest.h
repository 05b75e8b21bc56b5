// Round to nearest and MLX's rule: extremes group by group, parameters of sixteen groups at once, codes group by group.
#ifndef INGOT_VECTOR_ROUND_TO_NEAREST_H
#define INGOT_VECTOR_ROUND_TO_NEAREST_H

#include "affine_fits.h"

INGOT_INLINE void codes_of_group(
    const ingot_quantize_job *job, quantize_group group, float step, float zero, float bias) {
  lanes_f32 steps = splat(step), zeros = splat(zero), most = splat((float)((1 << job->bits) - 1));
  lanes_f32 low = -zeros, high = most - zeros;
  lanes_i32 constant = steps == 0;
  for (size_t j = 0; j < group.count; j += 16) {
    size_t count = group.count - j;
    lanes_f32 w = count >= 16 ? load_lanes(group.weights + j) : load_part(group.weights + j, count, 0);
    lanes_f32 code = choose(constant, splat(0), (w - bias) / steps);
    code = round_even_lanes(clamp_lanes(code, low, high)) + zeros;
    if (count >= 16) {
      store_codes(job->codes + group.codes + j, code);
    } else {
      uint8_t part[16];
      store_codes(part, code);
      memcpy(job->codes + group.codes + j, part, count);
    }
  }
}

/// Extremes of groups first ..< first + count, one a lane.
INGOT_INLINE void extremes_of_some(
    const ingot_quantize_job *job, size_t first, size_t count, lanes_f32 *low, lanes_f32 *high) {
  *low = *high = splat(0);
  for (size_t lane = 0; lane < count; lane++) {
    quantize_group group = group_at(job, first + lane);
    lanes_f32 least = splat(group.weights[0]), greatest = least;
    size_t j = 0;
    for (; j + 16 <= group.count; j += 16) {
      lanes_f32 w = load_lanes(group.weights + j);
      least = lower(w, least);
      greatest = higher(w, greatest);
    }
    if (j < group.count) {
      lanes_f32 w = load_part(group.weights + j, group.count - j, group.weights[0]);
      least = lower(w, least);
      greatest = higher(w, greatest);
    }
    (*low)[lane] = lowest(least);
    (*high)[lane] = -lowest(-greatest);
  }
}

INGOT_INLINE void codes_of_some(const ingot_quantize_job *job, size_t first, size_t count, lane_fits fits) {
  for (size_t lane = 0; lane < count; lane++)
    codes_of_group(job, group_at(job, first + lane), fits.step[lane], fits.zero[lane], fits.bias[lane]);
}

void BODY(ingot_round_to_nearest)(const ingot_quantize_job *job) {
  size_t groups = job->rows * groups_per_row(job);
  for (size_t first = 0; first < groups; first += 16) {
    size_t count = groups - first < 16 ? groups - first : 16;
    lanes_f32 low, high;
    extremes_of_some(job, first, count, &low, &high);
    lane_fits fits = round_to_nearest_fits(job->scheme, job->storage, job->bits, low, high);
    write_fits(job, first, count, fits);
    codes_of_some(job, first, count, fits);
  }
}

/// The rule of ../mlx.c.
void BODY(ingot_mlx)(const ingot_quantize_job *job) {
  lanes_f32 none = splat(0), most = splat((float)((1 << job->bits) - 1));
  size_t groups = job->rows * groups_per_row(job);
  for (size_t first = 0; first < groups; first += 16) {
    size_t count = groups - first < 16 ? groups - first : 16;
    lanes_f32 low, high;
    extremes_of_some(job, first, count, &low, &high);
    lanes_f32 step = higher((high - low) / most, splat(1e-7f));
    lanes_i32 below = magnitudes(low) > magnitudes(high);
    lanes_f32 edge = choose(below, low, high);
    step = choose(below, step, -step);
    lanes_f32 steps = round_even_lanes(edge / step);
    lanes_i32 met = steps != 0;
    lane_fits fits = {choose(met, edge / steps, step), none, choose(met, edge, none)};
    lane_fits kept = {stored_lanes(job->storage, fits.step), none, stored_lanes(job->storage, fits.bias)};
    write_fits(job, first, count, kept);
    codes_of_some(job, first, count, fits);
  }
}

#endif
