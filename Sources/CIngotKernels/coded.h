// What the scalar and the vector bodies of coded_product.c share.
#ifndef INGOT_CODED_H
#define INGOT_CODED_H

#include "floats.h"
#include "ggml.h"
#include "ggml_lattice.h"
#include "product.h"

enum {
  /// Neighbouring columns that share their parameters, in every encoding that is multiplied from its codes.
  CODED_PART = 16,
  CODED_PARTS = DEPTH / CODED_PART,
  /// Tokens whose sums are kept in registers while weights pass. With more, panels are cheaper.
  CODED_TOKENS = 8,
};

/// Some rows of codes: at most PANEL of them, and where one token is multiplied two times as many.
typedef struct ingot_coded_rows {
  const ingot_coded *source;
  size_t row, rows;
} ingot_coded_rows;

/// Weights of rows in columns `first` ..< first + depth, to (depth, PANEL). Lanes without a row hold any.
typedef struct ingot_coded_panel {
  ingot_coded_rows of;
  size_t first, depth;  // first is a multiple of DEPTH, depth DEPTH at most
  float *panel;
} ingot_coded_panel;

/// y[t][i] = Σ x[t][l] w[i][l] over all columns, in the order of product.c; i counts the rows, t the tokens.
typedef struct ingot_coded_sums {
  ingot_coded_rows of;
  const float *x;  // (tokens, columns)
  size_t tokens;   // CODED_TOKENS at most
  float *y;
  size_t leading;  // from a token to the next in y
} ingot_coded_sums;

/// Blocks whose weights have an offset.
INGOT_INLINE bool has_minima(ingot_ggml type) {
  return type == INGOT_Q4_1 || type == INGOT_Q5_1 || type == INGOT_Q2_K || type == INGOT_Q4_K || type == INGOT_Q5_K;
}

INGOT_INLINE size_t coded_groups(const ingot_coded *c) {
  return c->columns == 0 ? 0 : (c->columns + c->group - 1) / c->group;
}

/// The codes of a row from column `first` on, a multiple of DEPTH, so that they begin a byte.
INGOT_INLINE const uint8_t *coded_codes(const ingot_coded *c, size_t row, size_t first) {
  return c->codes + row * ((c->columns * c->bits + 7) / 8) + first / 8 * c->bits;
}

/// A zero point. They are packed like codes, those of each row from a byte on.
INGOT_INLINE unsigned coded_zero(const ingot_coded *c, size_t row, size_t group) {
  const uint8_t *zeros = c->zeros + row * ((coded_groups(c) * c->bits + 7) / 8);
  size_t bit = group * c->bits, shift = bit % 8;
  unsigned zero = (unsigned)zeros[bit / 8] >> shift;
  if (shift + c->bits > 8) zero |= (unsigned)zeros[bit / 8 + 1] << (8 - shift);
  return zero & ((1u << c->bits) - 1);
}

/// The bytes of a row of blocks from column `first` on.
INGOT_INLINE const uint8_t *coded_blocks(const ingot_coded *c, ggml_shape shape, size_t row, size_t first) {
  return c->codes + (row * (c->columns / shape.weights) + first / shape.weights) * shape.bytes;
}

#endif
