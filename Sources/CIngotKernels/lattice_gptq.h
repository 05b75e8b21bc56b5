// GPTQ on lattices: columns in groups of eight, which share what their codes have to agree on. What gptq.c does with one
// column at a time is done here with eight.
//
// Source: block LDLQ, Tseng et al., "QuIP#" (2024), with the metric that the factor leaves within a block.
#ifndef INGOT_LATTICE_GPTQ_H
#define INGOT_LATTICE_GPTQ_H

#include "gptq.h"
#include "lattice_metric.h"

#pragma STDC FP_CONTRACT OFF

typedef struct {
  many d, multiple, zero;
} lattice_scale;

INGOT_INLINE lattice_scale lattice_scale_of(const ingot_grid *grid, size_t part, size_t row) {
  size_t super = part * grid->part / grid->super * grid->rows + row, at = part * grid->rows + row;
  lattice_scale s = {load_many(grid->d + super), load_many(grid->scales + at), all_of(0)};
  if (grid->zeros) s.zero = load_many(grid->zeros + at);
  return s;
}

/// Takes the errors of eight columns, F⁻¹(t - ŵ), from `left`, which they are found in, and gives them.
INGOT_INLINE void lattice_errors(
    const float *factor, size_t stride, many step, many zero, const many *values, many *left, many *errors) {
  for (size_t j = 0; j < 8; j++) {
    many error = (left[j] - step * (values[j] - zero)) * (1 / factor[j * stride + j]);
    errors[j] = error;
    for (size_t k = j + 1; k < 8; k++) left[k] = left[k] - factor[k * stride + j] * error;
  }
}

void BODY(ingot_lattice_columns)(
    const ingot_grid *grid, const uint32_t *order, size_t count, float *weights, const float *factor, size_t stride,
    float *values, float *errors) {
  size_t rows = grid->rows;
  float own[GPTQ_MOST * GPTQ_MOST], metric[GPTQ_MOST / 8][8][8];
  for (size_t k = 0; k < count; k++)
    for (size_t j = 0; j < count; j++) own[k * GPTQ_MOST + j] = factor[k * stride + j];
  for (size_t g = 0; g < count; g += 8) lattice_metric_of(own + g * GPTQ_MOST + g, GPTQ_MOST, metric[g / 8]);
  for (size_t row = 0; row < rows; row += LANES) {
    many w[GPTQ_MOST], chosen[8], error[8];
    for (size_t j = 0; j < count; j++) w[j] = load_many(weights + j * rows + row);
    for (size_t g = 0; g < count; g += 8) {
      const float *block = own + g * GPTQ_MOST + g;
      lattice_scale s = lattice_scale_of(grid, order[g] / grid->part, row);
      many step = s.d * s.multiple;
      BODY(lattice_choose)(grid->lattice, w + g, metric[g / 8], block, GPTQ_MOST, step, s.zero, chosen);
      lattice_errors(block, GPTQ_MOST, step, s.zero, chosen, w + g, error);
      for (size_t j = 0; j < 8; j++) {
        store_many(values + order[g + j] * rows + row, chosen[j]);
        store_many(errors + (g + j) * rows + row, error[j]);
      }
      for (size_t k = g + 8; k < count; k++)
        for (size_t j = 0; j < 8; j++) w[k] = w[k] - own[k * GPTQ_MOST + g + j] * error[j];
    }
  }
}

/// The error of a part's values: those that are chosen here, or `given`.
static many BODY(lattice_part_error)(
    const ingot_grid *grid, lattice_scale s, size_t width, const uint32_t *order, const float *factor,
    const float (*metric)[8][8], const many *targets, const many *given, many *values) {
  many left[32], chosen[8], error[8], sum = all_of(0), step = s.d * s.multiple;
  for (size_t j = 0; j < width; j++) left[j] = targets[order[j]];
  for (size_t g = 0; g < width; g += 8) {
    const float *block = factor + g * width + g;
    if (given) for (size_t j = 0; j < 8; j++) chosen[j] = given[order[g + j]];
    else BODY(lattice_choose)(grid->lattice, left + g, metric[g / 8], block, width, step, s.zero, chosen);
    lattice_errors(block, width, step, s.zero, chosen, left + g, error);
    for (size_t j = 0; j < 8; j++) {
      values[order[g + j]] = chosen[j];
      sum = sum + error[j] * error[j];
    }
    for (size_t k = g + 8; k < width; k++)
      for (size_t j = 0; j < 8; j++) left[k] = left[k] - factor[k * width + g + j] * error[j];
  }
  return sum;
}

void BODY(ingot_lattice_part)(
    const ingot_grid *grid, size_t index, const ingot_grid_move *moves, size_t count, const float *targets,
    const uint32_t *order, const float *factor, float *values, float *changes) {
  size_t rows = grid->rows, first = index * grid->part, width = grid->part;
  float *own = values + first * rows, metric[4][8][8];
  for (size_t g = 0; g < width; g += 8) lattice_metric_of(factor + g * width + g, width, metric[g / 8]);
  for (size_t row = 0; row < rows; row += LANES) {
    many target[32], old[32], best[32], found[32];
    for (size_t k = 0; k < width; k++) {
      target[k] = load_many(targets + k * rows + row);
      old[k] = load_many(own + k * rows + row);
    }
    lattice_scale start = lattice_scale_of(grid, index, row), chosen = start;
    many least = BODY(lattice_part_error)(grid, start, width, order, factor, metric, target, old, best);
    for (size_t i = 0; i < count; i++) {
      lattice_scale s = start;
      s.multiple = clamp_many(s.multiple + all_of(moves[i].scale), grid->least, grid->most);
      if (moves[i].zero != 0) s.zero = -s.zero;
      many error = BODY(lattice_part_error)(grid, s, width, order, factor, metric, target, NULL, found);
      many_mask better = error < least;
      least = choose_many(better, error, least);
      chosen.multiple = choose_many(better, s.multiple, chosen.multiple);
      chosen.zero = choose_many(better, s.zero, chosen.zero);
      for (size_t k = 0; k < width; k++) best[k] = choose_many(better, found[k], best[k]);
    }
    many before = start.d * start.multiple, after = chosen.d * chosen.multiple;
    for (size_t k = 0; k < width; k++) {
      store_many(own + k * rows + row, best[k]);
      store_many(changes + k * rows + row, after * (best[k] - chosen.zero) - before * (old[k] - start.zero));
    }
    store_many(grid->scales + index * rows + row, chosen.multiple);
    if (grid->zeros) store_many(grid->zeros + index * rows + row, chosen.zero);
  }
}

#endif
