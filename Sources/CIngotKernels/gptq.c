// GPTQ with the grid given, and coordinate descent over grid and codes after it: scalar reference, row by row.
//
// Everything is transposed: (columns, rows), so that the vector bodies have a row in each lane.
// Source of the column update: Frantar et al., "GPTQ" (2023), with H⁻¹ = UᵀU and `factor` = Uᵀ. The descent lowers
// (w - ŵ) H (w - ŵ)ᵀ by the exact optimum of one number at a time, the others fixed, and rounds it as stored.
#include "gptq.h"

#pragma STDC FP_CONTRACT OFF

/// What a column's values stand for in one row.
typedef struct {
  float step, zero, bias, inverse;
} fit;

static fit fit_of(const ingot_grid *grid, size_t column, size_t row) {
  size_t part = column / grid->part * grid->rows + row, super = column / grid->super * grid->rows + row;
  fit f = {grid->d[super], 0, 0, 0};
  if (grid->scales) f.step *= grid->scales[part];
  if (grid->zeros) f.zero = grid->zeros[part];
  if (grid->m) f.bias = grid->minima ? grid->m[super] * grid->minima[part] : grid->m[super];
  f.inverse = f.step != 0 ? 1 / f.step : 0;
  return f;
}

static float value_of(const ingot_grid *grid, fit f, float target) {
  float x = (target - f.bias) * f.inverse + f.zero;
  if (!grid->table) return grid_bound(x, grid->low, grid->high);
  float value = grid->table[0];
  for (int i = 1; i < grid->entries; i++)
    value = x > 0.5f * (float)(grid->table[i - 1] + grid->table[i]) ? (float)grid->table[i] : value;
  return value;
}

static float meant(fit f, float value) { return f.step * (value - f.zero) + f.bias; }

void ingot_gptq_columns_scalar(
    const ingot_grid *grid, const uint32_t *order, size_t count, float *weights, const float *factor,
    size_t stride, float *values, float *errors) {
  size_t rows = grid->rows;
  for (size_t row = 0; row < rows; row++)
    for (size_t j = 0; j < count; j++) {
      fit f = fit_of(grid, order[j], row);
      float w = weights[j * rows + row], value = value_of(grid, f, w);
      float error = (w - meant(f, value)) * (1 / factor[j * stride + j]);
      values[order[j] * rows + row] = value;
      errors[j * rows + row] = error;
      for (size_t k = j + 1; k < count; k++)
        weights[k * rows + row] = weights[k * rows + row] - factor[k * stride + j] * error;
    }
}

/// One row's columns that share d and m.
typedef struct {
  float gradient[DESCENT_MOST], value[DESCENT_MOST];
  float a[DESCENT_MOST], ha[DESCENT_MOST], hb[DESCENT_MOST], b[DESCENT_MOST];
} work;

/// a, b and their products with the Hessian over `first ..< first + count` of the work's columns.
static descent_sums directions(work *w, const float *hessian, size_t stride, size_t first, size_t count, bool both) {
  descent_sums s = {0, 0, 0, 0, 0};
  for (size_t k = first; k < first + count; k++) {
    float ha = 0, hb = 0;
    for (size_t l = first; l < first + count; l++) {
      ha = ha + hessian[k * stride + l] * w->a[l];
      if (both) hb = hb + hessian[k * stride + l] * w->b[l];
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

/// The change of m that goes with the best change of d; 0 when the two cannot be told apart.
static float best_change_of_m(descent_sums s) {
  float determinant = s.aa * s.bb - s.ab * s.ab;
  return determinant > DESCENT_SINGULAR * (s.aa * s.bb) ? (s.num_b * s.aa - s.num_a * s.ab) / determinant : 0;
}

/// The best change of d once that of m is decided.
static float best_change_of_d(descent_sums s, float m) {
  return s.aa > DESCENT_LEAST ? (s.num_a - m * s.ab) / s.aa : 0;
}

/// By how much the changes lower the error.
static float gain(descent_sums s, float d, float m) {
  return 2 * (d * s.num_a + m * s.num_b) - (d * d * s.aa + 2 * (d * m * s.ab) + m * m * s.bb);
}

/// Changes the step by `d` and the offset by `m` along the directions, in `first ..< first + count`.
static void move(
    work *w, const float *hessian, size_t stride, size_t first, size_t count, size_t all, float d, float m) {
  for (size_t k = first; k < first + count; k++) {
    float change = d * w->a[k] + m * w->b[k];
    if (count == all) {
      w->gradient[k] = w->gradient[k] - (d * w->ha[k] + m * w->hb[k]);
      continue;
    }
    for (size_t l = 0; l < all; l++) w->gradient[l] = w->gradient[l] - hessian[k * stride + l] * change;
  }
}

static void refit_shared(
    const ingot_grid *grid, size_t index, size_t row, work *w, const float *hessian, size_t count) {
  float *d = &grid->d[index * grid->rows + row], *m = grid->m ? &grid->m[index * grid->rows + row] : NULL;
  for (size_t k = 0; k < count; k++) {
    size_t part = (index * grid->super + k) / grid->part * grid->rows + row;
    float value = w->value[k] - (grid->zeros ? grid->zeros[part] : 0);
    w->a[k] = grid->scales ? grid->scales[part] * value : value;
    w->b[k] = !m ? 0 : grid->minima ? grid->minima[part] : 1;
  }
  descent_sums s = directions(w, hessian, grid->columns, 0, count, m != NULL);
  float change_m = 0;
  if (m) {
    float next = stored(grid->storage, *m + best_change_of_m(s));
    if (grid_has_levels(grid) && !(next >= 0)) next = *m;
    change_m = next - *m;
  }
  float next = stored(grid->storage, *d + best_change_of_d(s, change_m));
  float change_d = next * *d > 0 ? next - *d : 0;
  if (!(gain(s, change_d, change_m) > 0)) return;
  *d = *d + change_d;
  if (m) *m = *m + change_m;
  move(w, hessian, grid->columns, 0, count, count, change_d, change_m);
}

static void refit_part(
    const ingot_grid *grid, size_t index, size_t row, work *w, const float *hessian, size_t first, size_t width,
    size_t count) {
  size_t part = (index * grid->super + first) / grid->part * grid->rows + row;
  float d = grid->d[index * grid->rows + row], m = grid->m ? grid->m[index * grid->rows + row] : 0;
  for (size_t k = first; k < first + width; k++) {
    w->a[k] = w->value[k];
    w->b[k] = grid->m ? 1 : 0;
  }
  descent_sums s = directions(w, hessian, grid->columns, first, width, grid->m != NULL);
  float minimum = 0, change_m = 0;
  if (grid->m) {
    minimum = grid->minima[part];
    if (m > 0)
      minimum = grid_bound((m * minimum + best_change_of_m(s)) * (1 / m), grid->minima_least, 0);
    change_m = m * minimum - m * grid->minima[part];
  }
  float scale = grid->scales[part];
  if (d != 0)
    scale = grid_bound((d * scale + best_change_of_d(s, change_m)) * (1 / d), grid->least, grid->most);
  float change_d = d * scale - d * grid->scales[part];
  if (!(gain(s, change_d, change_m) > 0)) return;
  grid->scales[part] = scale;
  if (grid->m) grid->minima[part] = minimum;
  move(w, hessian, grid->columns, first, width, count, change_d, change_m);
}

void ingot_descend_scalar(
    const ingot_grid *grid, size_t index, const float *hessian, float *gradient, float *values) {
  size_t rows = grid->rows, columns = grid->columns, start = index * grid->super;
  size_t count = columns - start < grid->super ? columns - start : grid->super;
  const float *square = hessian + start * columns + start;
  for (size_t row = 0; row < rows; row++) {
    work w = {0};
    for (size_t k = 0; k < count; k++) {
      w.gradient[k] = gradient[k * rows + row];
      w.value[k] = values[(start + k) * rows + row];
    }
    if (!grid->fixed) refit_shared(grid, index, row, &w, square, count);
    // Points of a lattice are chosen together, see lattice_gptq.h.
    for (size_t first = 0; first < count && !grid->lattice; first += grid->part) {
      size_t width = count - first < grid->part ? count - first : grid->part;
      if (grid_has_levels(grid)) refit_part(grid, index, row, &w, square, first, width, count);
      fit f = fit_of(grid, start + first, row);
      for (size_t k = first; k < first + width; k++) {
        float own = square[k * columns + k];
        float value = value_of(grid, f, meant(f, w.value[k]) + w.gradient[k] * (own > 0 ? 1 / own : 0));
        float change = f.step * (value - w.value[k]);
        w.value[k] = value;
        for (size_t l = 0; l < count; l++) w.gradient[l] = w.gradient[l] - square[k * columns + l] * change;
      }
    }
    for (size_t k = 0; k < count; k++) {
      gradient[k * rows + row] = w.gradient[k];
      values[(start + k) * rows + row] = w.value[k];
    }
  }
}

static part_grid part_of(const ingot_grid *grid, size_t index, size_t row) {
  size_t part = index * grid->rows + row, super = index * grid->part / grid->super * grid->rows + row;
  part_grid p = {grid->d[super], grid->m ? grid->m[super] : 0, grid->scales ? grid->scales[part] : 1,
                 grid->minima ? grid->minima[part] : 1, grid->zeros ? grid->zeros[part] : 0};
  return p;
}

static part_grid moved(const ingot_grid *grid, part_grid p, ingot_grid_move by) {
  if (grid_has_levels(grid)) {
    p.scale = clamp(p.scale + by.scale, grid->least, grid->most);
    if (grid->m) p.minimum = clamp(p.minimum + by.minimum, grid->minima_least, 0);
    return p;
  }
  float d = p.d * by.step, size = d < 0 ? -d : d;
  if (!grid->fixed) d = stored(grid->storage, d);
  else if (!(size > 1 / GRID_POWERS && size < GRID_POWERS)) d = p.d;
  if (grid->m) p.m = stored(grid->storage, p.m + (p.d - d) * (0.5f * (grid->low + grid->high)));
  p.d = d;
  p.zero = grid->zeros ? clamp(p.zero + by.zero, grid->low, grid->high) : 0;
  return p;
}

static fit fit_of_part(const ingot_grid *grid, part_grid p) {
  fit f = {p.d * p.scale, p.zero, grid->m ? p.m * p.minimum : 0, 0};
  f.inverse = f.step != 0 ? 1 / f.step : 0;
  return f;
}

/// The error of codes on a grid: those that GPTQ chooses, or those that `values` has when they are given.
static float block_error(
    const ingot_grid *grid, fit f, size_t width, const uint32_t *order, const float *factor, const float *targets,
    const float *given, float *values) {
  float left[DESCENT_MOST], sum = 0;
  for (size_t j = 0; j < width; j++) left[j] = targets[order[j]];
  for (size_t j = 0; j < width; j++) {
    float value = given ? given[order[j]] : value_of(grid, f, left[j]);
    float error = (left[j] - meant(f, value)) * (1 / factor[j * width + j]);
    values[order[j]] = value;
    sum = sum + error * error;
    for (size_t k = j + 1; k < width; k++) left[k] = left[k] - factor[k * width + j] * error;
  }
  return sum;
}

void ingot_search_part_scalar(
    const ingot_grid *grid, size_t index, const ingot_grid_move *moves, size_t count, const float *targets,
    const uint32_t *order, const float *factor, float *values, float *changes) {
  size_t rows = grid->rows, first = index * grid->part;
  size_t width = grid->columns - first < grid->part ? grid->columns - first : grid->part;
  float *own = values + first * rows;
  for (size_t row = 0; row < rows; row++) {
    float target[DESCENT_MOST], old[DESCENT_MOST], best[DESCENT_MOST], found[DESCENT_MOST];
    for (size_t k = 0; k < width; k++) {
      target[k] = targets[k * rows + row];
      old[k] = own[k * rows + row];
    }
    part_grid start = part_of(grid, index, row), chosen = start;
    fit before = fit_of_part(grid, start);
    float least = block_error(grid, before, width, order, factor, target, old, best);
    for (size_t i = 0; i < count; i++) {
      part_grid p = moved(grid, start, moves[i]);
      float error = block_error(grid, fit_of_part(grid, p), width, order, factor, target, NULL, found);
      if (!(error < least)) continue;
      least = error;
      chosen = p;
      for (size_t k = 0; k < width; k++) best[k] = found[k];
    }
    fit after = fit_of_part(grid, chosen);
    for (size_t k = 0; k < width; k++) {
      own[k * rows + row] = best[k];
      changes[k * rows + row] = meant(after, best[k]) - meant(before, old[k]);
    }
    size_t part = index * rows + row, super = first / grid->super * rows + row;
    grid->d[super] = chosen.d;
    if (grid->m) grid->m[super] = chosen.m;
    if (grid->scales) grid->scales[part] = chosen.scale;
    if (grid->minima) grid->minima[part] = chosen.minimum;
    if (grid->zeros) grid->zeros[part] = chosen.zero;
  }
}

void ingot_gptq_columns(
    ingot_isa isa, const ingot_grid *grid, const uint32_t *order, size_t count, float *weights,
    const float *factor, size_t stride, float *values, float *errors) {
  if (grid->lattice) {
    INGOT_DISPATCH(isa, ingot_lattice_columns, grid, order, count, weights, factor, stride, values, errors);
    return;
  }
  INGOT_DISPATCH(isa, ingot_gptq_columns, grid, order, count, weights, factor, stride, values, errors);
}

void ingot_descend(
    ingot_isa isa, const ingot_grid *grid, size_t index, const float *hessian, float *gradient, float *values) {
  INGOT_DISPATCH(isa, ingot_descend, grid, index, hessian, gradient, values);
}

void ingot_search_part(
    ingot_isa isa, const ingot_grid *grid, size_t index, const ingot_grid_move *moves, size_t count,
    const float *targets, const uint32_t *order, const float *factor, float *values, float *changes) {
  if (grid->lattice) {
    INGOT_DISPATCH(
        isa, ingot_lattice_part, grid, index, moves, count, targets, order, factor, values, changes);
    return;
  }
  INGOT_DISPATCH(
      isa, ingot_search_part, grid, index, moves, count, targets, order, factor, values, changes);
}
