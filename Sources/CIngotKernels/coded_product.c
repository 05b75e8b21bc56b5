// Products with rows of codes. Weights are decoded where they are multiplied: for a few tokens in registers, for more to
// the panels of product.c. The bits are those of products with the decoded rows.
#include "coded.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

void ingot_coded_panel_scalar(const ingot_coded_panel *p) {
  const ingot_coded *c = p->of.source;
  float weights[DEPTH];
  uint8_t codes[DEPTH];
  for (size_t i = 0; i < p->of.rows; i++) {
    size_t row = p->of.row + i;
    if (c->type == INGOT_FLOATS) {
      for (size_t l = 0; l < p->depth; l++) {
        size_t column = p->first + l, block = c->scales ? row / c->group_rows * coded_groups(c) + column / c->group : 0;
        float value = decode_one(c->storage, c->codes, row * c->columns + column);
        weights[l] = c->scales ? value * load_float(c->scales + 4 * block) : value;
      }
    } else if (c->type != INGOT_PLANES) {
      ggml_shape shape = ggml_shape_of((ingot_ggml)c->type);
      ingot_decode_ggml_scalar(
          (ingot_ggml)c->type, coded_blocks(c, shape, row, p->first), weights, p->depth / shape.weights);
    } else {
      ingot_unpack_scalar(c->bits, coded_codes(c, row, p->first), codes, p->depth);
      for (size_t l = 0; l < p->depth; l++) weights[l] = coded_weight(c, row, p->first + l, codes[l]);
    }
    for (size_t l = 0; l < p->depth; l++) p->panel[l * PANEL + i] = weights[l];
  }
}

void ingot_coded_sums_scalar(const ingot_coded_sums *s) {
  const ingot_coded *c = s->of.source;
  if (s->of.rows > PANEL) {
    ingot_coded_sums one = *s, others = *s;
    one.of.rows = PANEL;
    others.of.row += PANEL, others.of.rows -= PANEL, others.y += PANEL;
    ingot_coded_sums_scalar(&one);
    ingot_coded_sums_scalar(&others);
    return;
  }
  float panel[DEPTH * PANEL];
  for (size_t t = 0; t < s->tokens; t++)
    for (size_t i = 0; i < s->of.rows; i++) s->y[t * s->leading + i] = 0;
  for (size_t first = 0; first < c->columns; first += DEPTH) {
    size_t depth = c->columns - first < DEPTH ? c->columns - first : DEPTH;
    ingot_coded_panel part = {s->of, first, depth, panel};
    ingot_coded_panel_scalar(&part);
    for (size_t t = 0; t < s->tokens; t++)
      for (size_t i = 0; i < s->of.rows; i++) {
        float sum = 0, *y = s->y + t * s->leading + i;
        for (size_t l = 0; l < depth; l++) sum = fmaf(s->x[t * c->columns + first + l], panel[l * PANEL + i], sum);
        *y = sum + *y;
      }
  }
}

typedef struct {
  ingot_isa isa;
  const ingot_coded *coded;
} source;

static void fill_panel(const void *from, size_t row, size_t rows, size_t first, size_t depth, float *out) {
  const source *s = from;
  ingot_coded_panel p = {{s->coded, row, rows}, first, depth, out};
  INGOT_DISPATCH(s->isa, ingot_coded_panel, &p);
}

/// Rows of block types that are decoded as they are elsewhere.
static void fill_rows(const void *from, size_t row, size_t rows, size_t first, size_t depth, float *out) {
  const source *s = from;
  const ingot_coded *c = s->coded;
  size_t weights, bytes;
  lattice_shape(c->type, &weights, &bytes);
  for (size_t i = 0; i < rows; i++)
    ingot_decode_ggml(
        s->isa, (ingot_ggml)c->type, c->codes + ((row + i) * c->columns + first) / weights * bytes, out + i * DEPTH,
        depth / weights);
}

static ingot_product product_of(const ingot_coded *c, const float *x, size_t tokens, float *y) {
  ingot_product p = {0};
  p.m = tokens, p.n = c->rows, p.k = c->columns;
  p.a = x, p.lda = c->columns;
  if (lattice_is(c->type)) {
    p.fill = fill_rows;
  } else {
    p.fill_panel = fill_panel;
  }
  p.alpha = 1, p.c = y, p.ldc = c->rows;
  return p;
}

size_t ingot_multiply_coded_floats(ingot_isa isa, const ingot_coded *c, size_t tokens) {
  ingot_product p = product_of(c, NULL, tokens, NULL);
  return ingot_product_floats(isa, &p);
}

void ingot_multiply_coded(
    ingot_isa isa, const ingot_coded *c, const float *x, size_t tokens, float *y, float *scratch) {
  if (tokens > CODED_TOKENS || lattice_is(c->type)) {
    source s = {isa, c};
    ingot_product p = product_of(c, x, tokens, y);
    p.source = &s;
    ingot_multiply(isa, &p, scratch);
    return;
  }
  size_t most = coded_panels(tokens) * PANEL;
  for (size_t row = 0; row < c->rows; row += most) {
    size_t rows = c->rows - row < most ? c->rows - row : most;
    ingot_coded_sums s = {{c, row, rows}, x, tokens, y + row, c->rows};
    INGOT_DISPATCH(isa, ingot_coded_sums, &s);
  }
}
