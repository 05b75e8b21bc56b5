// Products with codes and stored floats: weights of sixteen rows are decoded with a row in each lane, as the sums want them.
#ifndef INGOT_VECTOR_CODED_H
#define INGOT_VECTOR_CODED_H

#include "code_sums.h"
#include "float_sums.h"

/// Weights of planes that are no whole blocks, or that take two roundings.
static void weights_of_planes(const ingot_coded_panel *p) {
  const ingot_coded *c = p->of.source;
  for (size_t i = 0; i < PANEL; i++) {
    // Lanes without a row take the last one.
    size_t row = p->of.row + (i < p->of.rows ? i : p->of.rows - 1);
    uint8_t codes[DEPTH];
    BODY(ingot_unpack)(c->bits, coded_codes(c, row, p->first), codes, p->depth);
    for (size_t l = 0; l < p->depth; l++) p->panel[l * PANEL + i] = coded_weight(c, row, p->first + l, codes[l]);
  }
}

void BODY(ingot_coded_panel)(const ingot_coded_panel *p) {
  if (coded_is_turned(p->of.source)) weights_of_codes(p);
  else if (p->of.source->type == INGOT_FLOATS) weights_of_floats(p);
  else weights_of_planes(p);
}

static void sums_of_planes(const ingot_coded_sums *s) {
  const ingot_coded *c = s->of.source;
  float weights[DEPTH * PANEL];
  for (size_t p = 0; p * PANEL < s->of.rows; p++) {
    ingot_coded_sums part = *s;
    part.of = rows_of_panel(&s->of, p);
    part.y += p * PANEL;
    coded_totals totals;
    for (size_t t = 0; t < s->tokens; t++) totals.of[t] = splat(0);
    for (size_t first = 0; first < c->columns; first += DEPTH) {
      size_t depth = c->columns - first < DEPTH ? c->columns - first : DEPTH;
      ingot_coded_panel panel = {part.of, first, depth, weights};
      weights_of_planes(&panel);
      for (size_t t = 0; t < s->tokens; t++) {
        lanes_f32 sum = splat(0);
        for (size_t l = 0; l < depth; l++)
          sum = __builtin_elementwise_fma(splat(s->x[t * c->columns + first + l]), load_lanes(weights + l * PANEL), sum);
        totals.of[t] = sum + totals.of[t];
      }
    }
    put_totals(&totals, &part);
  }
}

void BODY(ingot_coded_sums)(const ingot_coded_sums *s) {
  if (coded_is_turned(s->of.source)) sums_of_codes(s);
  else if (s->of.source->type == INGOT_FLOATS) sums_of_floats(s);
  else sums_of_planes(s);
}
#undef EACH_PANEL
#undef EACH_TOKEN
#undef CODED_MOST
#undef CODED_ALL

#endif
