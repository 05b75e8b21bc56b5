// Feeding the search. Groups of up to SEARCH_LANE_GROUP columns are taken sixteen at once, transposed, one a
// lane; a longer group lies across the lanes, column j in lane j % 16, and its sums are added up across them.
#ifndef INGOT_VECTOR_SEARCH_GROUPS_H
#define INGOT_VECTOR_SEARCH_GROUPS_H

#include <stdlib.h>

#include "search.h"

INGOT_INLINE lanes_i32 clamped_exponents(lanes_f32 magnitude) {
  lanes_i32 exponent = (lanes_i32)(as_bits(magnitude) >> 23 & 255) - 127;
  lanes_i32 small = exponent < -126, large = exponent > 126;
  exponent = (small & -126) | (~small & exponent);
  return (large & 126) | (~large & exponent);
}

INGOT_INLINE lanes_f32 powers_of_two(lanes_i32 exponents) {
  return as_f32((lanes_u32)(exponents + 127) << 23);
}

/// What a search works on: `steps` vectors each, and how many columns of each lane are real (the others
/// repeat the first weight and have no importance).
typedef struct {
  lanes_f32 *w, *h, *hv;
  size_t steps;
  lanes_i32 columns;
  bool ragged, across;
  lanes_f32 low, high, peak;  // of each lane's group
} lane_data;

INGOT_INLINE lanes_f32 code_lanes(
    const lane_view *v, lane_best best, lanes_f32 inverse, lanes_i32 constant, lanes_f32 zero, lanes_f32 w) {
  lanes_f32 shifted = w - best.fit.bias;
  lanes_f32 q = choose(best.divided, shifted / best.fit.step, shifted * inverse);
  q = round_even_lanes(clamp_lanes(q, -best.fit.zero, v->most - best.fit.zero));
  return choose(constant, zero, q + best.fit.zero);
}

/// Searches the loaded groups and leaves their codes in `w`, as floats; the result is as stored.
static lane_fits search_loaded(const ingot_quantize_job *job, lane_data *data) {
  lanes_f32 one = splat(1), none = splat(0);
  lane_fits rtn = round_to_nearest_fits(job->scheme, job->storage, job->bits, data->low, data->high);
  lanes_i32 exponents = clamped_exponents(choose(-data->low > data->high, -data->low, data->high));
  lane_view v = {
      data->w, data->h, data->hv, data->steps, data->across, job->scheme == INGOT_BIAS,
      job->importance || data->ragged || data->across,
      powers_of_two(-exponents), powers_of_two(exponents), none, splat((float)((1 << job->bits) - 1)),
      none, none, job->storage};
  lanes_f32 low = data->low * v.weight_factor, high = data->high * v.weight_factor;
  lanes_f32 importance_factor = powers_of_two(-clamped_exponents(data->peak));
  lanes_i32 heard = data->peak > 0;
  if (v.bias) v.base = low;
  for (size_t k = 0; k < data->steps; k++) {
    lanes_i32 real = data->columns > (int32_t)k;
    lanes_f32 h = job->importance ? choose(heard, data->h[k] * importance_factor, one) : one;
    h = choose(real, h, none);
    data->w[k] *= v.weight_factor;
    data->h[k] = h;
    data->hv[k] = h * (data->w[k] - v.base);
    v.sum_h += h;
    v.sum_hv += data->hv[k];
  }
  v.sum_h = total(&v, v.sum_h);
  v.sum_hv = total(&v, v.sum_hv);

  lane_candidates start = {rtn.step * v.weight_factor, rtn.zero, rtn.bias * v.weight_factor};
  lane_best best = search_lanes(v, job, start, low, high);

  lanes_i32 constant = rtn.step == 0;
  lanes_f32 inverse = 1 / best.fit.step;
  for (size_t k = 0; k < data->steps; k++)
    data->w[k] = code_lanes(&v, best, inverse, constant, rtn.zero, data->w[k]);
  lane_fits fits = {
      choose(constant, rtn.step, best.fit.step * v.real), choose(constant, rtn.zero, best.fit.zero),
      choose(constant, rtn.bias, best.fit.bias * v.real)};
  return fits;
}

/// Groups first ..< first + count, one a lane; the lanes left over repeat the last.
static void search_sixteen(const ingot_quantize_job *job, size_t first, size_t count) {
  lanes_f32 w[SEARCH_LANE_GROUP], h[SEARCH_LANE_GROUP], hv[SEARCH_LANE_GROUP];
  float *flat_w = (float *)w, *flat_h = (float *)h;
  quantize_group groups[16];
  size_t shortest = SEARCH_LANE_GROUP;
  lane_data data = {w, h, hv, 0, {0}, false, false, splat(0), splat(0), splat(0)};
  for (size_t lane = 0; lane < 16; lane++) {
    groups[lane] = group_at(job, first + (lane < count ? lane : count - 1));
    data.columns[lane] = (int32_t)groups[lane].count;
    if (groups[lane].count > data.steps) data.steps = groups[lane].count;
    if (groups[lane].count < shortest) shortest = groups[lane].count;
  }
  size_t whole = shortest / 16 * 16;
  for (size_t k = 0; k < whole; k += 16) {
    for (size_t lane = 0; lane < 16; lane++) w[k + lane] = load_lanes(groups[lane].weights + k);
    transpose_lanes(w + k);
    if (!job->importance) continue;
    for (size_t lane = 0; lane < 16; lane++) h[k + lane] = load_lanes(groups[lane].importance + k);
    transpose_lanes(h + k);
  }
  for (size_t lane = 0; lane < 16; lane++) {
    quantize_group group = groups[lane];
    for (size_t k = whole; k < group.count; k++) flat_w[16 * k + lane] = group.weights[k];
    for (size_t k = group.count; k < data.steps; k++) flat_w[16 * k + lane] = group.weights[0];
    if (group.count < data.steps) data.ragged = true;
    if (!group.importance) continue;
    for (size_t k = whole; k < group.count; k++) flat_h[16 * k + lane] = group.importance[k];
    for (size_t k = group.count; k < data.steps; k++) flat_h[16 * k + lane] = 0;
  }
  data.low = data.high = w[0];
  for (size_t k = 0; k < data.steps; k++) {
    data.low = lower(w[k], data.low);
    data.high = higher(w[k], data.high);
    if (job->importance) data.peak = higher(h[k], data.peak);
  }
  write_fits(job, first, count, search_loaded(job, &data));
  for (size_t k = 0; k < whole; k += 16) {
    transpose_lanes(w + k);
    for (size_t lane = 0; lane < count; lane++) store_codes(job->codes + groups[lane].codes + k, w[k + lane]);
  }
  for (size_t lane = 0; lane < count; lane++)
    for (size_t k = whole; k < groups[lane].count; k++)
      job->codes[groups[lane].codes + k] = (uint8_t)(int)flat_w[16 * k + lane];
}

/// One long group.
static void search_across(const ingot_quantize_job *job, size_t index) {
  quantize_group group = group_at(job, index);
  size_t steps = (group.count + 15) / 16;
  lanes_f32 *memory = aligned_alloc(64, steps * 3 * sizeof(lanes_f32));
  if (!memory) abort();
  lane_data data = {
      memory, memory + steps, memory + 2 * steps, steps, {0}, true, true, splat(0), splat(0), splat(0)};
  data.low = data.high = splat(group.weights[0]);
  for (size_t k = 0; k < steps; k++) {
    size_t left = group.count - 16 * k;
    for (size_t lane = 0; lane < 16; lane++) data.columns[lane] += lane < left;
    data.w[k] = left >= 16 ? load_lanes(group.weights + 16 * k)
                           : load_part(group.weights + 16 * k, left, group.weights[0]);
    data.low = lower(data.w[k], data.low);
    data.high = higher(data.w[k], data.high);
    if (!group.importance) continue;
    data.h[k] = left >= 16 ? load_lanes(group.importance + 16 * k)
                           : load_part(group.importance + 16 * k, left, 0);
    data.peak = higher(data.h[k], data.peak);
  }
  data.low = splat(lowest(data.low));
  data.high = splat(-lowest(-data.high));
  data.peak = splat(-lowest(-data.peak));
  write_fits(job, index, 1, search_loaded(job, &data));
  for (size_t k = 0; k < steps; k++) {
    uint8_t codes[16];
    size_t left = group.count - 16 * k;
    store_codes(codes, data.w[k]);
    memcpy(job->codes + group.codes + 16 * k, codes, left < 16 ? left : 16);
  }
  free(memory);
}

void BODY(ingot_search)(const ingot_quantize_job *job) {
  size_t groups = job->rows * groups_per_row(job);
  if (job->group > SEARCH_LANE_GROUP) {
    for (size_t index = 0; index < groups; index++) search_across(job, index);
  } else {
    for (size_t first = 0; first < groups; first += 16)
      search_sixteen(job, first, groups - first < 16 ? groups - first : 16);
  }
}

#endif
