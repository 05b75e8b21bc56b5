// What the scalar and the vector bodies of factor.c share.
#ifndef INGOT_FACTOR_H
#define INGOT_FACTOR_H

#include "isa.h"

/// Rows and columns that are factored without products.
enum { CORNER = 64 };

/// The upper triangle of `square` (CORNER, CORNER), A, becomes U with A = UᵀU; `inverse` becomes (Uᵀ)⁻¹, zeros above its
/// diagonal. Both in `count` rows and columns.
typedef struct ingot_corner {
  float *square, *inverse;
  size_t count;
  bool *definite;  // becomes false where a square root would not be of a positive number
} ingot_corner;

#endif
