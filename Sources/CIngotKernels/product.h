// What the scalar and the vector bodies of product.c share.
#ifndef INGOT_PRODUCT_H
#define INGOT_PRODUCT_H

#include "isa.h"

enum {
  /// Rows of b in a panel: one for each lane.
  PANEL = 16,
  /// Terms of a sum that are added in one chain. Part of what a product is: another number gives other bits.
  DEPTH = INGOT_PRODUCT_DEPTH,
  /// Rows of a that are too few to turn rows of b into panels for.
  DIRECT_ROWS = 2,
};

/// Some rows of a times some panels of b, over at most DEPTH terms, added to c:
///
///     c[i][j] ← fma(alpha, Σ a[i][l] b[j][l], keep · c[i][j])
///
/// the sum a chain of fma from 0; c is not looked at where `keep` is 0.
typedef struct ingot_strip {
  const float *a;  // (rows, DEPTH), of which `depth` columns are there
  const float *b;  // (panels, DEPTH, PANEL), of which `depth` rows are there
  size_t rows, panels, depth;
  size_t columns;      // of c: (panels - 1) * PANEL < columns ≤ panels * PANEL
  ptrdiff_t diagonal;  // row i has only its first `diagonal + i` columns, if these are fewer
  float alpha, keep;
  float *c;
  size_t leading;
  // What is wanted next: the beginnings of so many rows, so many cache lines of each.
  const char *ahead;
  size_t ahead_stride, ahead_rows, ahead_lines;
} ingot_strip;

/// Columns of c that a row of a strip has.
INGOT_INLINE size_t strip_columns(const ingot_strip *s, size_t row) {
  ptrdiff_t within = s->diagonal + (ptrdiff_t)row;
  return within <= 0 ? 0 : (size_t)within < s->columns ? (size_t)within : s->columns;
}

/// A few rows of a times PANEL rows of b as they lie, which are turned in registers; the rest as of a strip.
typedef struct ingot_direct {
  const float *a;  // (rows, DEPTH), DIRECT_ROWS at most
  const float *b;
  size_t stride;  // from a row of b to the next
  size_t rows, depth;
  float alpha, keep;
  float *c;
  size_t leading;
} ingot_direct;

/// Rows become columns: out[j * leading + i] = in[i * stride + j].
typedef struct ingot_turned {
  const float *in;
  size_t stride, rows, columns;
  float *out;
  size_t leading;
} ingot_turned;

#endif
