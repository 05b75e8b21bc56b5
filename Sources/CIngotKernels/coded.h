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
  /// Neighbouring columns that are turned together, and activations that share a step where they are rounded.
  CODE_BLOCK = 32,
  /// Tokens whose sums are kept in registers while weights pass. With more, panels are cheaper.
  CODED_TOKENS = 8,
  /// Panels that go together through few tokens: their chains hide each other's latency.
  CODED_PANELS = 4,
};

/// How weights of an encoding follow from codes of 0 ... 255.
typedef struct {
  bool halved;      // parameters are of 16 columns, else of 32 or more
  bool offset;      // weights have an offset; `zero` is 0 then
  bool wide;        // some codes are greater than 127
  bool neighbours;  // two codes of a byte are neighbours: even columns are multiplied before odd ones
  int zero;
} code_form;

/// Some rows of codes: at most PANEL of them, and CODED_PANELS times as many where few tokens are multiplied.
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

INGOT_INLINE size_t code_part(code_form form) { return form.halved ? 16 : 32; }

INGOT_INLINE code_form code_form_of(const ingot_coded *c) {
  code_form form = {0};
  if (c->type == INGOT_PLANES) {
    form.halved = c->group % CODE_BLOCK != 0 && c->group < c->columns;
    form.offset = c->zeros || c->biases;
    form.wide = c->bits == 8 || c->doubled_e2m1;
    form.neighbours = c->bits == 4 && !form.halved && !c->doubled_e2m1;
    form.zero = form.offset ? 0 : c->doubled_e2m1 ? 128 : c->zero;
    return form;
  }
  ggml_shape shape = ggml_shape_of((ingot_ggml)c->type);
  form.halved = shape.part < CODE_BLOCK;
  form.offset = has_minima((ingot_ggml)c->type);
  form.wide = shape.table || shape.most > 127;
  form.zero = shape.table ? 128 : shape.zero;
  return form;
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

/// A weight of planes.
INGOT_INLINE float coded_weight(const ingot_coded *c, size_t row, size_t column, unsigned code) {
  size_t group = column / c->group, at = row * coded_groups(c) + group;
  float scale = decode_one(c->storage, c->scales, at);
  if (c->doubled_e2m1) return scale * (float)ggml_e2m1[code];
  if (!c->biases) return scale * (float)((int)code - (c->zeros ? (int)coded_zero(c, row, group) : c->zero));
  float product = scale * (float)code;
  return product + decode_one(c->storage, c->biases, at);
}

INGOT_INLINE size_t coded_row_bytes(const ingot_coded *c) {
  if (c->type == INGOT_PLANES) return (c->columns * c->bits + 7) / 8;
  if (c->type == INGOT_FLOATS) return c->columns * (c->storage == INGOT_F8E4M3 ? 1 : 2);
  ggml_shape shape = ggml_shape_of((ingot_ggml)c->type);
  return c->columns / shape.weights * shape.bytes;
}

/// Whether weights are fma(code, scale, offset) exactly, so that products take codes as code_form has them.
INGOT_INLINE bool coded_is_turned(const ingot_coded *c) {
  if (c->type == INGOT_FLOATS || c->columns % CODE_BLOCK != 0) return false;
  // Products of a code and a half are exact, and powers of two times anything.
  return c->type != INGOT_PLANES || c->storage != INGOT_F32 || !(c->zeros || c->biases || (c->zero & (c->zero - 1)) != 0);
}

/// Panels of rows that a call of ingot_coded_sums takes.
INGOT_INLINE size_t coded_panels(size_t tokens) {
  return tokens == 1 ? CODED_PANELS : tokens == 2 ? CODED_PANELS / 2 : 1;
}

#endif
