// Products with codes as code_panel.h turns them: w = fma(code, scale, offset), exactly.
#ifndef INGOT_VECTOR_CODE_SUMS_H
#define INGOT_VECTOR_CODE_SUMS_H

#include "code_panel.h"
#include "panel_sums.h"

/// Byte j of words, as floats.
INGOT_INLINE lanes_f32 code_of(lanes_u32 words, const size_t j) {
#if defined(INGOT_VBMI)
  // One instruction for two; the last byte needs but one.
  if (j == 1 || j == 2) {
    const __m512i bytes = _mm512_set1_epi32((int)(0x80808000 | j));
    const __m512i places = _mm512_or_si512(bytes, _mm512_set4_epi32(12, 8, 4, 0));
    return __builtin_convertvector((lanes_i32)_mm512_shuffle_epi8((__m512i)words, places), lanes_f32);
  }
#endif
  if (j == 3) return __builtin_convertvector((lanes_i32)(words >> 24), lanes_f32);
  return __builtin_convertvector((lanes_i32)(words >> (8 * j) & 0xFF), lanes_f32);
}

/// Codes and parameters of some columns; offsets of all weights.
INGOT_INLINE void take_panel(
    const ingot_coded_rows *of, code_form form, size_t first, size_t depth, code_panel *out) {
  turn_rows(of, form, first, depth, out);
  if (form.offset) return;
  lanes_f32 zero = splat((float)-form.zero);
  for (size_t p = 0; p < depth / code_part(form); p++) out->offsets[p] = out->scales[p] * zero;
}

/// Does `body(l, word, byte, part)` for each of 32 columns in their order.
#define EACH_CODE(halved, neighbours, body) \
  _Pragma("clang loop unroll(full)") for (size_t l = 0; l < CODE_BLOCK; l++) { \
    const size_t word = neighbours ? l % 2 * 4 + l / 8 : l / 4, byte = neighbours ? l / 2 % 4 : l % 4; \
    const size_t part = halved ? l / 16 : 0; \
    body(l, word, byte, part) \
  }

/// Calls `body(HALVED, NEIGHBOURS)` with both as constants.
#define EACH_FORM(form, body) \
  if ((form).neighbours) body(false, true); \
  else if ((form).halved) body(true, false); \
  else body(false, false)

INGOT_INLINE void put_weights(
    const code_panel *panel, size_t depth, const bool halved, const bool neighbours, coded_fetch fetch, float *out) {
  for (size_t b = 0; b < depth / CODE_BLOCK; b++) {
    fetch_some(&fetch);
    const lanes_u32 *codes = panel->codes + 8 * b;
    const lanes_f32 *scales = panel->scales + (halved ? 2 : 1) * b, *offsets = panel->offsets + (halved ? 2 : 1) * b;
#define PUT(l, word, byte, part) \
    store_lanes( \
        out + (CODE_BLOCK * b + l) * PANEL, \
        __builtin_elementwise_fma(code_of(codes[word], byte), scales[part], offsets[part]));
    EACH_CODE(halved, neighbours, PUT)
#undef PUT
  }
}

static void weights_of_codes(const ingot_coded_panel *p) {
  code_panel panel;
  code_form form = code_form_of(p->of.source);
  take_panel(&p->of, form, p->first, p->depth, &panel);
  coded_fetch fetch = fetch_behind(p->of.source, p->of.row, 1, p->first);
#define PUT_FORM(halved, neighbours) put_weights(&panel, p->depth, halved, neighbours, fetch, p->panel)
  EACH_FORM(form, PUT_FORM);
#undef PUT_FORM
}

/// Adds what some columns of `count` panels come to for `tokens` tokens to totals (panels, CODED_TOKENS). What is const is a constant.
INGOT_INLINE void add_codes(
    const code_panel *panels, const float *x, size_t stride, size_t depth, const size_t count, const size_t tokens,
    const bool halved, const bool neighbours, coded_fetch fetch, lanes_f32 *totals) {
  lanes_f32 sums[CODED_PANELS][CODED_TOKENS];
  EACH_PANEL EACH_TOKEN sums[i][t] = splat(0);
  for (size_t b = 0; b < depth / CODE_BLOCK; b++) {
    const size_t parts = (halved ? 2 : 1) * b;
    fetch_some(&fetch);
#define ADD(l, word, byte, part) \
    lanes_f32 values[CODED_TOKENS]; \
    EACH_TOKEN values[t] = splat(x[t * stride + CODE_BLOCK * b + l]); \
    EACH_PANEL { \
      const code_panel *p = panels + i; \
      lanes_f32 code = code_of(p->codes[8 * b + word], byte); \
      lanes_f32 weights = __builtin_elementwise_fma(code, p->scales[parts + part], p->offsets[parts + part]); \
      EACH_TOKEN sums[i][t] = __builtin_elementwise_fma(values[t], weights, sums[i][t]); \
    }
    EACH_CODE(halved, neighbours, ADD)
#undef ADD
  }
  EACH_PANEL EACH_TOKEN totals[i * CODED_TOKENS + t] = sums[i][t] + totals[i * CODED_TOKENS + t];
}

static void sums_of_codes(const ingot_coded_sums *s) {
  const ingot_coded *c = s->of.source;
  code_form form = code_form_of(c);
  size_t count = (s->of.rows + PANEL - 1) / PANEL;
  code_panel panels[CODED_PANELS];
  coded_totals totals;
  for (size_t i = 0; i < count * CODED_TOKENS; i++) totals.of[i] = splat(0);
  for (size_t first = 0; first < c->columns; first += DEPTH) {
    size_t depth = c->columns - first < DEPTH ? c->columns - first : DEPTH;
    for (size_t p = 0; p < count; p++) {
      ingot_coded_rows of = rows_of_panel(&s->of, p);
      take_panel(&of, form, first, depth, &panels[p]);
    }
    coded_fetch all = fetch_near(c, s->of.row, count, first), none = {0};
#define SOME(count_, tokens_) EACH_FORM(form, SOME_##count_##_##tokens_)
#define OF_FORM(halved, neighbours, count_, tokens_) \
    add_codes( \
        panels + panel, s->x + token * c->columns + first, c->columns, depth, count_, tokens_, halved, neighbours, \
        panel + token == 0 ? all : none, totals.of + panel * CODED_TOKENS + token)
#define SOME_4_1(halved, neighbours) OF_FORM(halved, neighbours, 4, 1)
#define SOME_2_1(halved, neighbours) OF_FORM(halved, neighbours, 2, 1)
#define SOME_2_2(halved, neighbours) OF_FORM(halved, neighbours, 2, 2)
#define SOME_1_8(halved, neighbours) OF_FORM(halved, neighbours, 1, 8)
#define SOME_1_4(halved, neighbours) OF_FORM(halved, neighbours, 1, 4)
#define SOME_1_1(halved, neighbours) OF_FORM(halved, neighbours, 1, 1)
    CODED_ALL(count, s->tokens, SOME)
#undef SOME
#undef OF_FORM
#undef SOME_4_1
#undef SOME_2_1
#undef SOME_2_2
#undef SOME_1_8
#undef SOME_1_4
#undef SOME_1_1
  }
  put_totals(&totals, s);
}
#undef EACH_CODE
#undef EACH_FORM

#endif
