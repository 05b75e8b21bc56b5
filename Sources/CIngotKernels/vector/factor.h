// The corners of a Cholesky factor: lanes lie across columns.
#ifndef INGOT_VECTOR_FACTOR_H
#define INGOT_VECTOR_FACTOR_H

#include "../factor.h"
#include "lanes.h"

void BODY(ingot_corner)(const ingot_corner *corner) {
  float *u = corner->square, *m = corner->inverse;
  for (size_t j = 0; j < corner->count; j++) {
    // Whole lanes: what is computed left of the diagonal is never used.
    for (size_t i = j / 16 * 16; i < corner->count; i += 16) {
      lanes_f32 row = load_lanes(u + j * CORNER + i);
      for (size_t k = 0; k < j; k++)
        row = __builtin_elementwise_fma(splat(-u[k * CORNER + j]), load_lanes(u + k * CORNER + i), row);
      store_lanes(u + j * CORNER + i, row);
    }
    float own = u[j * CORNER + j];
    if (!(own > 0)) {
      *corner->definite = false;
      return;
    }
    own = __builtin_sqrtf(own);
    for (size_t i = j / 16 * 16; i < corner->count; i += 16)
      store_lanes(u + j * CORNER + i, load_lanes(u + j * CORNER + i) / splat(own));
    u[j * CORNER + j] = own;
  }
  for (size_t i = 0; i < corner->count; i++)
    for (size_t left = 0; left < corner->count; left += 16) {
      lanes_f32 row = splat(0);
      if (i / 16 * 16 == left) row[i % 16] = 1;
      for (size_t k = 0; k < i; k++)
        row = __builtin_elementwise_fma(splat(-u[k * CORNER + i]), load_lanes(m + k * CORNER + left), row);
      store_lanes(m + i * CORNER + left, row / splat(u[i * CORNER + i]));
    }
}

#endif
