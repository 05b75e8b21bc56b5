// GPTQ and the descent after it, sixteen rows at a time: what gptq.c does to each row, operation for operation.
#ifndef INGOT_VECTOR_GPTQ_H
#define INGOT_VECTOR_GPTQ_H

#include "../gptq.h"
#include "affine_fits.h"
#include "lanes.h"

typedef struct {
  lanes_f32 step, zero, bias, inverse;
} lanes_fit;

INGOT_INLINE lanes_fit lanes_fit_of(const ingot_grid *grid, size_t column, size_t row) {
  size_t part = column / grid->part * grid->rows + row, super = column / grid->super * grid->rows + row;
  lanes_fit f = {load_lanes(grid->d + super), splat(0), splat(0), splat(0)};
  if (grid->scales) f.step *= load_lanes(grid->scales + part);
  if (grid->zeros) f.zero = load_lanes(grid->zeros + part);
  if (grid->m) {
    f.bias = load_lanes(grid->m + super);
    if (grid->minima) f.bias *= load_lanes(grid->minima + part);
  }
  f.inverse = choose(f.step != 0, splat(1) / f.step, splat(0));
  return f;
}

INGOT_INLINE lanes_f32 rounded_lanes(lanes_f32 x, float low, float high) {
  // As two rounded sums, so that zeros have the scalar's sign.
  return clamp_lanes(x, splat(low), splat(high)) + 0x1.8p23f - 0x1.8p23f;
}

INGOT_INLINE lanes_f32 lanes_value_of(const ingot_grid *grid, lanes_fit f, lanes_f32 target) {
  lanes_f32 x = (target - f.bias) * f.inverse + f.zero;
  if (!grid->table) return rounded_lanes(x, grid->low, grid->high);
  lanes_f32 value = splat(grid->table[0]);
  for (int i = 1; i < grid->entries; i++)
    value = choose(
        x > splat(0.5f * (float)(grid->table[i - 1] + grid->table[i])), splat((float)grid->table[i]), value);
  return value;
}

INGOT_INLINE lanes_f32 lanes_meant(lanes_fit f, lanes_f32 value) {
  return f.step * (value - f.zero) + f.bias;
}

void BODY(ingot_gptq_columns)(
    const ingot_grid *grid, const uint32_t *order, size_t count, float *weights, const float *factor,
    size_t stride, float *values, float *errors) {
  size_t rows = grid->rows;
  // Apart from the matrices, whose rows are powers of two apart and share a few places of the nearest cache.
  float columns[GPTQ_MOST][GPTQ_MOST];
  for (size_t k = 0; k < count; k++)
    for (size_t j = 0; j < count; j++) columns[j][k] = factor[k * stride + j];
  for (size_t row = 0; row < rows; row += 16) {
    lanes_f32 w[GPTQ_MOST];
    for (size_t j = 0; j < count; j++) w[j] = load_lanes(weights + j * rows + row);
    for (size_t j = 0; j < count; j++) {
      lanes_fit f = lanes_fit_of(grid, order[j], row);
      lanes_f32 value = lanes_value_of(grid, f, w[j]);
      lanes_f32 error = (w[j] - lanes_meant(f, value)) * splat(1 / columns[j][j]);
      store_lanes(values + order[j] * rows + row, value);
      store_lanes(errors + j * rows + row, error);
      for (size_t k = j + 1; k < count; k++) w[k] = w[k] - splat(columns[j][k]) * error;
    }
  }
}

typedef struct {
  lanes_f32 gradient[DESCENT_MOST], value[DESCENT_MOST];
  lanes_f32 a[DESCENT_MOST], ha[DESCENT_MOST], hb[DESCENT_MOST], b[DESCENT_MOST];
} lanes_work;

typedef struct {
  lanes_f32 num_a, num_b, aa, ab, bb;
} lanes_sums;

static lanes_sums BODY(directions)(
    lanes_work *w, const float *hessian, size_t stride, size_t first, size_t count, bool both) {
  lanes_f32 zero = splat(0);
  lanes_sums s = {zero, zero, zero, zero, zero};
  for (size_t k = first; k < first + count; k++) {
    lanes_f32 ha = zero, hb = zero;
    for (size_t l = first; l < first + count; l++) {
      lanes_f32 h = splat(hessian[k * stride + l]);
      ha = ha + h * w->a[l];
      if (both) hb = hb + h * w->b[l];
    }
    w->ha[k] = ha;
    w->hb[k] = hb;
    s.num_a = s.num_a + w->a[k] * w->gradient[k];
    s.aa = s.aa + w->a[k] * ha;
    if (both) {
      s.num_b = s.num_b + w->b[k] * w->gradient[k];
      s.ab = s.ab + w->b[k] * ha;
      s.bb = s.bb + w->b[k] * hb;
    }
  }
  return s;
}

INGOT_INLINE lanes_f32 lanes_change_of_m(lanes_sums s) {
  lanes_f32 determinant = s.aa * s.bb - s.ab * s.ab;
  lanes_f32 change = (s.num_b * s.aa - s.num_a * s.ab) / determinant;
  return choose(determinant > DESCENT_SINGULAR * (s.aa * s.bb), change, splat(0));
}

INGOT_INLINE lanes_f32 lanes_change_of_d(lanes_sums s, lanes_f32 m) {
  return choose(s.aa > DESCENT_LEAST, (s.num_a - m * s.ab) / s.aa, splat(0));
}

INGOT_INLINE lanes_f32 lanes_gain(lanes_sums s, lanes_f32 d, lanes_f32 m) {
  return 2 * (d * s.num_a + m * s.num_b) - (d * d * s.aa + 2 * (d * m * s.ab) + m * m * s.bb);
}

static void BODY(move)(
    lanes_work *w, const float *hessian, size_t stride, size_t first, size_t count, size_t all, lanes_f32 d,
    lanes_f32 m) {
  for (size_t k = first; k < first + count; k++) {
    lanes_f32 change = d * w->a[k] + m * w->b[k];
    if (count == all) {
      w->gradient[k] = w->gradient[k] - (d * w->ha[k] + m * w->hb[k]);
      continue;
    }
    for (size_t l = 0; l < all; l++)
      w->gradient[l] = w->gradient[l] - splat(hessian[k * stride + l]) * change;
  }
}

static void BODY(refit_shared)(
    const ingot_grid *grid, size_t index, size_t row, lanes_work *w, const float *hessian, size_t count) {
  float *at_d = grid->d + index * grid->rows + row, *at_m = grid->m ? grid->m + index * grid->rows + row : NULL;
  lanes_f32 d = load_lanes(at_d), m = at_m ? load_lanes(at_m) : splat(0);
  for (size_t k = 0; k < count; k++) {
    size_t part = (index * grid->super + k) / grid->part * grid->rows + row;
    lanes_f32 value = w->value[k] - (grid->zeros ? load_lanes(grid->zeros + part) : splat(0));
    w->a[k] = grid->scales ? load_lanes(grid->scales + part) * value : value;
    w->b[k] = !at_m ? splat(0) : grid->minima ? load_lanes(grid->minima + part) : splat(1);
  }
  lanes_sums s = BODY(directions)(w, hessian, grid->columns, 0, count, at_m != NULL);
  lanes_f32 change_m = splat(0);
  if (at_m) {
    lanes_f32 next = stored_lanes(grid->storage, m + lanes_change_of_m(s));
    if (grid_has_levels(grid)) next = choose(next >= 0, next, m);
    change_m = next - m;
  }
  lanes_f32 next = stored_lanes(grid->storage, d + lanes_change_of_d(s, change_m));
  lanes_f32 change_d = choose(next * d > 0, next - d, splat(0));
  lanes_i32 better = lanes_gain(s, change_d, change_m) > 0;
  change_d = choose(better, change_d, splat(0));
  change_m = choose(better, change_m, splat(0));
  store_lanes(at_d, d + change_d);
  if (at_m) store_lanes(at_m, m + change_m);
  BODY(move)(w, hessian, grid->columns, 0, count, count, change_d, change_m);
}

static void BODY(refit_part)(
    const ingot_grid *grid, size_t index, size_t row, lanes_work *w, const float *hessian, size_t first,
    size_t width, size_t count) {
  size_t part = (index * grid->super + first) / grid->part * grid->rows + row;
  lanes_f32 d = load_lanes(grid->d + index * grid->rows + row);
  lanes_f32 m = grid->m ? load_lanes(grid->m + index * grid->rows + row) : splat(0);
  for (size_t k = first; k < first + width; k++) {
    w->a[k] = w->value[k];
    w->b[k] = splat(grid->m ? 1 : 0);
  }
  lanes_sums s = BODY(directions)(w, hessian, grid->columns, first, width, grid->m != NULL);
  lanes_f32 minimum = splat(0), old_minimum = splat(0), change_m = splat(0);
  if (grid->m) {
    old_minimum = load_lanes(grid->minima + part);
    lanes_f32 wanted = (m * old_minimum + lanes_change_of_m(s)) * (splat(1) / m);
    minimum = choose(m > 0, rounded_lanes(wanted, grid->minima_least, 0), old_minimum);
    change_m = m * minimum - m * old_minimum;
  }
  lanes_f32 old_scale = load_lanes(grid->scales + part);
  lanes_f32 wanted = (d * old_scale + lanes_change_of_d(s, change_m)) * (splat(1) / d);
  lanes_f32 scale = choose(d != 0, rounded_lanes(wanted, grid->least, grid->most), old_scale);
  lanes_f32 change_d = d * scale - d * old_scale;
  lanes_i32 better = lanes_gain(s, change_d, change_m) > 0;
  store_lanes(grid->scales + part, choose(better, scale, old_scale));
  if (grid->m) store_lanes(grid->minima + part, choose(better, minimum, old_minimum));
  change_d = choose(better, change_d, splat(0));
  change_m = choose(better, change_m, splat(0));
  BODY(move)(w, hessian, grid->columns, first, width, count, change_d, change_m);
}

void BODY(ingot_descend)(
    const ingot_grid *grid, size_t index, const float *hessian, float *gradient, float *values) {
  size_t rows = grid->rows, columns = grid->columns, start = index * grid->super;
  size_t count = columns - start < grid->super ? columns - start : grid->super;
  const float *square = hessian + start * columns + start;
  lanes_work w;
  for (size_t row = 0; row < rows; row += 16) {
    for (size_t k = 0; k < count; k++) {
      w.gradient[k] = load_lanes(gradient + k * rows + row);
      w.value[k] = load_lanes(values + (start + k) * rows + row);
    }
    if (!grid->fixed) BODY(refit_shared)(grid, index, row, &w, square, count);
    for (size_t first = 0; first < count && !grid->lattice; first += grid->part) {
      size_t width = count - first < grid->part ? count - first : grid->part;
      if (grid_has_levels(grid)) BODY(refit_part)(grid, index, row, &w, square, first, width, count);
      lanes_fit f = lanes_fit_of(grid, start + first, row);
      for (size_t k = first; k < first + width; k++) {
        float own = square[k * columns + k];
        lanes_f32 target = lanes_meant(f, w.value[k]) + w.gradient[k] * splat(own > 0 ? 1 / own : 0);
        lanes_f32 value = lanes_value_of(grid, f, target);
        lanes_f32 change = f.step * (value - w.value[k]);
        w.value[k] = value;
        for (size_t l = 0; l < count; l++)
          w.gradient[l] = w.gradient[l] - splat(square[k * columns + l]) * change;
      }
    }
    for (size_t k = 0; k < count; k++) {
      store_lanes(gradient + k * rows + row, w.gradient[k]);
      store_lanes(values + (start + k) * rows + row, w.value[k]);
    }
  }
}

#endif
