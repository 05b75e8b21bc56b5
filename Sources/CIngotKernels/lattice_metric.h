// Which point of a lattice when errors of eight weights are not counted one by one: (t - v) A (t - v)ᵀ is to be small, A the
// metric that GPTQ leaves for a block of columns.
//
// Signs are those that rounding one weight after the other gives. For signs given, the best point is found as in
// lattice_choose.h; then signs are changed where that helps, and points chosen once more. No step makes the error larger.
#ifndef INGOT_LATTICE_METRIC_H
#define INGOT_LATTICE_METRIC_H

#include "lattice_choose.h"

#pragma STDC FP_CONTRACT OFF

enum { LATTICE_PASSES = 2 };

/// A of a block of eight columns whose factor F (8, stride) is lower triangular, H⁻¹ = FFᵀ: A = (FFᵀ)⁻¹.
INGOT_INLINE void lattice_metric_of(const float *factor, size_t stride, float metric[8][8]) {
  float inverse[8][8] = {{0}};
  for (size_t j = 0; j < 8; j++) {
    inverse[j][j] = 1 / factor[j * stride + j];
    for (size_t k = j + 1; k < 8; k++) {
      float sum = 0;
      for (size_t l = j; l < k; l++) sum = sum + factor[k * stride + l] * inverse[l][j];
      inverse[k][j] = -sum / factor[k * stride + k];
    }
  }
  for (size_t i = 0; i < 8; i++)
    for (size_t j = 0; j < 8; j++) {
      float sum = 0;
      for (size_t k = i > j ? i : j; k < 8; k++) sum = sum + inverse[k][i] * inverse[k][j];
      metric[i][j] = sum;
    }
}

/// Levels of the entries of half a point.
INGOT_INLINE void lattice_digits(const lattice_form *f, size_t form, float *entries) {
  for (size_t i = 0; i < f->width / 2; i++, form /= f->levels) entries[i] = f->level[form % f->levels];
}

/// What each form of half a point costs by itself: the quadratic form of its entries with `metric`, less twice their
/// products with `pull`.
INGOT_INLINE void lattice_half_costs(
    const lattice_form *f, const many (*metric)[8], const many *pull, size_t first, many *out) {
  size_t half = f->width / 2, levels = f->levels, two = levels * levels;
  many alone[4][8], pairs[2][64];
  for (size_t i = 0; i < half; i++)
    for (size_t l = 0; l < levels; l++)
      alone[i][l] = f->level[l] * (f->level[l] * metric[first + i][first + i] - 2 * pull[first + i]);
  for (size_t p = 0; p < half / 2; p++)
    for (size_t b = 0; b < levels; b++) {
      many cross = (2 * f->level[b]) * metric[first + 2 * p][first + 2 * p + 1];
      for (size_t a = 0; a < levels; a++)
        pairs[p][a + levels * b] = alone[2 * p][a] + (alone[2 * p + 1][b] + cross * f->level[a]);
    }
  for (size_t form = 0; half == 2 && form < two; form++) out[form] = pairs[0][form];
  for (size_t high = 0; half == 4 && high < two; high++) {
    float c = 2 * f->level[high % levels], d = 2 * f->level[high / levels];
    many third = metric[first][first + 2] * c + metric[first][first + 3] * d;
    many fourth = metric[first + 1][first + 2] * c + metric[first + 1][first + 3] * d;
    for (size_t low = 0; low < two; low++)
      out[low + two * high] = (pairs[0][low] + pairs[1][high]) +
                              (third * f->level[low % levels] + fourth * f->level[low / levels]);
  }
}

/// The best values for the weights `first ..< first + width`, the others' values and all signs given.
INGOT_INLINE void lattice_metric_point(
    const lattice_form *f, const many *x, const float (*metric)[8], const many *signs, size_t first, many *values) {
  many rest[8], pull[8], turned[8][8];
  size_t half = f->width / 2;
  for (size_t k = 0; k < 8; k++) rest[k] = k >= first && k < first + f->width ? x[k] : x[k] - values[k];
  for (size_t i = 0; i < f->width; i++) {
    many sum = all_of(0);
    for (size_t k = 0; k < 8; k++) sum = sum + metric[first + i][k] * rest[k];
    pull[i] = signs[first + i] * sum;
    for (size_t j = i; j < f->width; j++)
      turned[i][j] = metric[first + i][first + j] * (signs[first + i] * signs[first + j]);
  }
  many inner[LATTICE_HALVES], outer[LATTICE_HALVES];
  lattice_half_costs(f, turned, pull, 0, inner);
  lattice_half_costs(f, turned, pull, half, outer);
  float entries[LATTICE_HALVES][4];
  for (size_t form = 0; form < (f->width == 8 ? 81 : 64); form++) lattice_digits(f, form, entries[form]);
  many best = all_of(__builtin_inff()), chosen = all_of(0), number = all_of(0);
  for (size_t run = 0; run < f->run_count; run++) {
    size_t high = f->runs[run][0];
    many between[4];
    for (size_t k = 0; k < half; k++) {
      many sum = turned[k][half] * entries[high][0];
      for (size_t j = 1; j < half; j++) sum = sum + turned[k][half + j] * entries[high][j];
      between[k] = 2 * sum;
    }
    for (size_t i = f->runs[run][1]; i < f->runs[run + 1][1]; i++) {
      size_t low = f->low[i];
      many cost = inner[low] + outer[high];
      for (size_t k = 0; k < half; k++) cost = cost + between[k] * entries[low][k];
      chosen = choose_many(cost < best, number, chosen);
      best = least_of(cost, best);
      number = number + all_of(1);
    }
  }
  lattice_entries(f, chosen, values + first);
  for (size_t k = first; k < first + f->width; k++) values[k] = values[k] * signs[k];
}

/// Changes the sign, or where their number is even the two signs, that lower the error most.
INGOT_INLINE void lattice_change_signs(
    const lattice_form *f, const many *x, const float (*metric)[8], many *signs, many *values) {
  many gain[8], least = all_of(0), first = all_of(8), second = all_of(8);
  for (size_t i = 0; i < 8; i++) {
    many sum = all_of(0);
    for (size_t k = 0; k < 8; k++) sum = sum + metric[i][k] * (x[k] - values[k]);
    gain[i] = 4 * (values[i] * (sum + metric[i][i] * values[i]));
    if (f->even) continue;
    first = choose_many(gain[i] < least, all_of((float)i), first);
    least = least_of(gain[i], least);
  }
  for (size_t i = 0; f->even && i < 8; i++)
    for (size_t j = i + 1; j < 8; j++) {
      many both = gain[i] + gain[j] + (8 * metric[i][j]) * (values[i] * values[j]);
      many_mask better = both < least;
      first = choose_many(better, all_of((float)i), first);
      second = choose_many(better, all_of((float)j), second);
      least = choose_many(better, both, least);
    }
  for (size_t k = 0; k < 8; k++) {
    many_mask changes = (first == (float)k) | (second == (float)k);
    signs[k] = choose_many(changes, -signs[k], signs[k]);
    values[k] = choose_many(changes, -values[k], values[k]);
  }
}

/// The level next to a magnitude.
INGOT_INLINE many lattice_level_near(const lattice_form *f, many size) {
  many level = all_of(f->level[0]);
  for (size_t i = 1; i < f->levels; i++)
    level = choose_many(size > 0.5f * (f->level[i - 1] + f->level[i]), all_of(f->level[i]), level);
  return level;
}

/// Signs as rounding gives them, one weight after the other, and the values it rounds to; an odd number is made even where
/// that seems to cost least.
INGOT_INLINE void lattice_first_signs(
    const lattice_form *f, const many *x, const float *factor, size_t stride, many *signs, many *values) {
  many left[8], odd = all_of(0), least = all_of(__builtin_inff()), place = all_of(8);
  for (size_t k = 0; k < 8; k++) left[k] = x[k];
  for (size_t j = 0; j < 8; j++) {
    float own = 1 / factor[j * stride + j];
    many size = magnitude_many(left[j]), level = lattice_level_near(f, size);
    signs[j] = choose_many(left[j] < 0, all_of(-1), all_of(1));
    odd = choose_many(left[j] < 0, all_of(1) - odd, odd);
    values[j] = signs[j] * level;
    many error = (left[j] - values[j]) * own, cost = size * level * (own * own);
    place = choose_many(cost < least, all_of((float)j), place);
    least = least_of(cost, least);
    for (size_t k = j + 1; k < 8; k++) left[k] = left[k] - factor[k * stride + j] * error;
  }
  if (!f->even) return;
  for (size_t k = 0; k < 8; k++) {
    many_mask changes = (odd > 0) & (place == (float)k);
    signs[k] = choose_many(changes, -signs[k], signs[k]);
    values[k] = choose_many(changes, -values[k], values[k]);
  }
}

INGOT_INLINE many lattice_form_value(const many *x, const float (*metric)[8], const many *values) {
  many total = all_of(0);
  for (size_t i = 0; i < 8; i++) {
    many sum = all_of(0);
    for (size_t k = 0; k < 8; k++) sum = sum + metric[i][k] * (x[k] - values[k]);
    total = total + (x[i] - values[i]) * sum;
  }
  return total;
}

INGOT_INLINE void lattice_choose_of(
    int type, const many *targets, const float (*metric)[8], const float *factor, size_t stride, many step, many zero,
    many *values) {
  lattice_form form = lattice_form_of(type);
  const lattice_form *f = &form;
  many x[8], signs[8], inverse = inverse_many(step);
  for (size_t k = 0; k < 8; k++) {
    x[k] = targets[k] * inverse + zero;
    signs[k] = all_of(1);
    values[k] = all_of(0);
  }
  if (f->signs) {
    lattice_first_signs(f, x, factor, stride, signs, values);
    for (int pass = 0; pass < LATTICE_PASSES; pass++) {
      for (size_t first = 0; first < 8; first += f->width) lattice_metric_point(f, x, metric, signs, first, values);
      lattice_change_signs(f, x, metric, signs, values);
    }
    return;
  }
  if (f->shifted != LATTICE_GROUP) return lattice_metric_point(f, x, metric, signs, 0, values);
  many found[2][8], costs[2];
  for (int i = 0; i < 2; i++) {
    many shift = all_of(i == 0 ? 0.125f : -0.125f), moved[8];
    for (size_t k = 0; k < 8; k++) {
      moved[k] = x[k] - shift;
      found[i][k] = all_of(0);
    }
    lattice_metric_point(f, moved, metric, signs, 0, found[i]);
    costs[i] = lattice_form_value(moved, metric, found[i]);
    for (size_t k = 0; k < 8; k++) found[i][k] = found[i][k] + shift;
  }
  for (size_t k = 0; k < 8; k++) values[k] = choose_many(costs[0] <= costs[1], found[0][k], found[1][k]);
}

/// Values for eight targets at a step. `factor` (8, stride) is of these columns, `metric` as lattice_metric_of gives it.
static __attribute__((noinline)) void BODY(lattice_choose)(
    int type, const many *targets, const float (*metric)[8], const float *factor, size_t stride, many step, many zero,
    many *values) {
#define CHOOSE(constant) lattice_choose_of(constant, targets, metric, factor, stride, step, zero, values)
  LATTICE_CASES(type, CHOOSE)
#undef CHOOSE
}

#endif
