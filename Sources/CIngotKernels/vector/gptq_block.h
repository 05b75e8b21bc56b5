// GPTQ within a block on neighbouring grids, sixteen rows at a time: what gptq.c does to each row, operation for operation.
#ifndef INGOT_VECTOR_GPTQ_BLOCK_H
#define INGOT_VECTOR_GPTQ_BLOCK_H

#include "gptq.h"

typedef struct {
  lanes_f32 d, m, scale, minimum, zero;
} lanes_part;

INGOT_INLINE lanes_part lanes_part_of(const ingot_grid *grid, size_t index, size_t row) {
  size_t part = index * grid->rows + row, super = index * grid->part / grid->super * grid->rows + row;
  lanes_part p = {load_lanes(grid->d + super), grid->m ? load_lanes(grid->m + super) : splat(0),
                  grid->scales ? load_lanes(grid->scales + part) : splat(1),
                  grid->minima ? load_lanes(grid->minima + part) : splat(1),
                  grid->zeros ? load_lanes(grid->zeros + part) : splat(0)};
  return p;
}

INGOT_INLINE lanes_part lanes_moved(const ingot_grid *grid, lanes_part p, ingot_grid_move by) {
  if (grid_has_levels(grid)) {
    p.scale = clamp_lanes(p.scale + splat(by.scale), splat(grid->least), splat(grid->most));
    if (grid->m) p.minimum = clamp_lanes(p.minimum + splat(by.minimum), splat(grid->minima_least), splat(0));
    return p;
  }
  lanes_f32 d = p.d * splat(by.step), size = choose(d < 0, -d, d);
  if (!grid->fixed) d = stored_lanes(grid->storage, d);
  else d = choose((size > splat(1 / GRID_POWERS)) & (size < splat(GRID_POWERS)), d, p.d);
  if (grid->m) p.m = stored_lanes(grid->storage, p.m + (p.d - d) * splat(0.5f * (grid->low + grid->high)));
  p.d = d;
  if (grid->zeros) p.zero = clamp_lanes(p.zero + splat(by.zero), splat(grid->low), splat(grid->high));
  return p;
}

INGOT_INLINE lanes_fit lanes_fit_of_part(const ingot_grid *grid, lanes_part p) {
  lanes_fit f = {p.d * p.scale, p.zero, grid->m ? p.m * p.minimum : splat(0), splat(0)};
  f.inverse = choose(f.step != 0, splat(1) / f.step, splat(0));
  return f;
}

static lanes_f32 BODY(block_error)(
    const ingot_grid *grid, lanes_fit f, size_t width, const uint32_t *order, const float *factor,
    const lanes_f32 *targets, const lanes_f32 *given, lanes_f32 *values) {
  lanes_f32 left[DESCENT_MOST], sum = splat(0);
  for (size_t j = 0; j < width; j++) left[j] = targets[order[j]];
  for (size_t j = 0; j < width; j++) {
    lanes_f32 value = given ? given[order[j]] : lanes_value_of(grid, f, left[j]);
    lanes_f32 error = (left[j] - lanes_meant(f, value)) * splat(1 / factor[j * width + j]);
    values[order[j]] = value;
    sum = sum + error * error;
    for (size_t k = j + 1; k < width; k++) left[k] = left[k] - splat(factor[k * width + j]) * error;
  }
  return sum;
}

void BODY(ingot_search_part)(
    const ingot_grid *grid, size_t index, const ingot_grid_move *moves, size_t count, const float *targets,
    const uint32_t *order, const float *factor, float *values, float *changes) {
  size_t rows = grid->rows, first = index * grid->part;
  size_t width = grid->columns - first < grid->part ? grid->columns - first : grid->part;
  float *own = values + first * rows;
  for (size_t row = 0; row < rows; row += 16) {
    lanes_f32 target[DESCENT_MOST], old[DESCENT_MOST], best[DESCENT_MOST], found[DESCENT_MOST];
    for (size_t k = 0; k < width; k++) {
      target[k] = load_lanes(targets + k * rows + row);
      old[k] = load_lanes(own + k * rows + row);
    }
    lanes_part start = lanes_part_of(grid, index, row), chosen = start;
    lanes_fit before = lanes_fit_of_part(grid, start);
    lanes_f32 least = BODY(block_error)(grid, before, width, order, factor, target, old, best);
    for (size_t i = 0; i < count; i++) {
      lanes_part p = lanes_moved(grid, start, moves[i]);
      lanes_f32 error = BODY(block_error)(
          grid, lanes_fit_of_part(grid, p), width, order, factor, target, NULL, found);
      lanes_i32 better = error < least;
      least = choose(better, error, least);
      chosen.d = choose(better, p.d, chosen.d);
      chosen.m = choose(better, p.m, chosen.m);
      chosen.scale = choose(better, p.scale, chosen.scale);
      chosen.minimum = choose(better, p.minimum, chosen.minimum);
      chosen.zero = choose(better, p.zero, chosen.zero);
      for (size_t k = 0; k < width; k++) best[k] = choose(better, found[k], best[k]);
    }
    lanes_fit after = lanes_fit_of_part(grid, chosen);
    for (size_t k = 0; k < width; k++) {
      store_lanes(own + k * rows + row, best[k]);
      store_lanes(changes + k * rows + row, lanes_meant(after, best[k]) - lanes_meant(before, old[k]));
    }
    size_t part = index * rows + row, super = first / grid->super * rows + row;
    store_lanes(grid->d + super, chosen.d);
    if (grid->m) store_lanes(grid->m + super, chosen.m);
    if (grid->scales) store_lanes(grid->scales + part, chosen.scale);
    if (grid->minima) store_lanes(grid->minima + part, chosen.minimum);
    if (grid->zeros) store_lanes(grid->zeros + part, chosen.zero);
  }
}

#endif
