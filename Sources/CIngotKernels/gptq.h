// What the scalar and the vector bodies of GPTQ and of the descent after it share.
#ifndef INGOT_GPTQ_H
#define INGOT_GPTQ_H

#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

/// Columns that share d and m, at most: their refit needs arrays of so many values.
enum { DESCENT_MOST = 256, GPTQ_MOST = 64 };

/// Determinants below this, next to the product they are the rest of, are rounding.
#define DESCENT_SINGULAR 0x1p-16f

/// Columns of a refit that have no evidence at all keep what they have.
#define DESCENT_LEAST 0x1p-100f

INGOT_INLINE bool grid_has_levels(const ingot_grid *grid) { return grid->least < grid->most; }

INGOT_INLINE float grid_bound(float value, float least, float most) { return round_even(clamp(value, least, most)); }

/// How a step d and an offset m move to where Σ (g - δd·a - δm·b)… is least; numbers of one row.
///
/// With G the gradient (w - ŵ)H, a and b the directions of d and m: num_a = a·G, num_b = b·G, aa = aᵀHa, and so on.
typedef struct {
  float num_a, num_b, aa, ab, bb;
} descent_sums;

/// What a part's grid has in one row.
typedef struct {
  float d, m, scale, minimum, zero;
} part_grid;

/// Steps of fixed grids are powers of two, which stay within this of 1.
#define GRID_POWERS 0x1p100f

#endif
