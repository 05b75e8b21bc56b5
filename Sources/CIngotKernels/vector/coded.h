// Products with codes and stored floats: weights of sixteen rows are decoded with a row in each lane, as the sums want them.
#ifndef INGOT_VECTOR_CODED_H
#define INGOT_VECTOR_CODED_H

#include "code_sums.h"
#include "coded_parts.h"

/// Columns of a piece. The layout is a constant in all that follows.
INGOT_INLINE size_t piece_columns(coded_layout layout) {
  switch (layout) {
    case CODED_BF16: case CODED_F16: return 8;
    case CODED_BYTES: case CODED_E4M3: case CODED_E4M3_NAN: return 16;
  }
  __builtin_unreachable();
}

/// E4M3 in the highest byte of words. Moved into the fields of F32 with another exponent a code is worth its value, but that
/// subnormal ones are as (1 + m/8) 2^-7 there. No product has a subnormal factor, which would take long.
INGOT_INLINE lanes_f32 from_e4m3(lanes_u32 word, bool some_nan) {
  lanes_u32 sign = word & 0x80000000, size = word >> 4 & 0x07F00000;
  lanes_f32 value = as_f32(size + 0x3C000000);
  value = choose((lanes_i32)(size < 0x00800000), value + value - 0x1p-6f, value);
  if (some_nan) value = choose((lanes_i32)(size == 0x07F00000), as_f32((lanes_u32)splat(0) | 0x7FC00000), value);
  return as_f32(as_bits(value) | sign);
}

/// Value l of a piece, in each row.
INGOT_INLINE lanes_f32 value_of_piece(coded_layout layout, const lanes_u32 quads[4], size_t l) {
  switch (layout) {
    case CODED_BF16: return as_f32(l % 2 == 0 ? quads[l / 2] << 16 : quads[l / 2] & 0xFFFF0000);
    case CODED_F16: {
      lanes_u16 narrow = __builtin_convertvector(quads[l / 2] >> (l % 2 * 16), lanes_u16);
      return __builtin_convertvector((lanes_f16)narrow, lanes_f32);
    }
    case CODED_E4M3: return from_e4m3(quads[l / 4] << (24 - 8 * (l % 4)), false);
    case CODED_E4M3_NAN: return from_e4m3(quads[l / 4] << (24 - 8 * (l % 4)), true);
    case CODED_BYTES:
      return __builtin_convertvector((lanes_i32)(quads[l / 4] << (24 - 8 * (l % 4))) >> 24, lanes_f32);
  }
  __builtin_unreachable();
}

/// A piece of codes, ready for its weights. `layout` is a constant.
INGOT_INLINE void turn_piece(coded_layout layout, const coded_parts *parts, size_t piece, lanes_u32 quads[4]) {
  turn_bytes(parts->rows, 16 * piece, quads);
  if (layout == CODED_BYTES)
    for (size_t q = 0; q < 4; q++) quads[q] ^= parts->flipped;
}

/// The weights of column at + l, l counting from where the piece begins.
INGOT_INLINE lanes_f32 weight_of_piece(
    coded_form form, coded_layout layout, const coded_parts *parts, const lanes_u32 quads[4], size_t at, size_t l) {
  size_t part = (at + l) / CODED_PART;
  lanes_f32 value = value_of_piece(layout, quads, l), scale = parts->scales[part];
  switch (form) {
    case CODED_PLAIN: return value * scale;
    case CODED_OFFSET: return __builtin_elementwise_fma(value, scale, parts->offsets[part]);
    case CODED_ZERO: return (value - parts->zeros[part]) * scale;
    case CODED_FULL: return (value - parts->zeros[part]) * scale + parts->offsets[part];
  }
  __builtin_unreachable();
}

/// Does `body(l, weights)` for each column l of `depth`. `form` and `layout` are constants.
#define EACH_WEIGHT(form, layout, parts, depth, body) \
  const size_t columns = piece_columns(layout); \
  for (size_t at = 0; at < depth; at += columns) { \
    lanes_u32 quads[4]; \
    turn_piece(layout, parts, at / columns, quads); \
    if (at + columns <= depth) { \
      _Pragma("clang loop unroll(full)") for (size_t l = 0; l < columns; l++) \
          body(at + l, weight_of_piece(form, layout, parts, quads, at, l)) \
    } else { \
      for (size_t l = 0; at + l < depth; l++) body(at + l, weight_of_piece(form, layout, parts, quads, at, l)) \
    } \
  }

INGOT_INLINE void panel_in_form(
    coded_form form, coded_layout layout, const coded_parts *parts, size_t depth, float *panel) {
#define PUT(l, weights) store_lanes(panel + (l) * PANEL, weights);
  EACH_WEIGHT(form, layout, parts, depth, PUT)
#undef PUT
}

/// Calls `body(FORM, LAYOUT)` with both as constants.
#define CODED_FORMS(parts, body) \
  switch ((parts)->layout) { \
    case CODED_E4M3: body(CODED_PLAIN, CODED_E4M3); break; \
    case CODED_E4M3_NAN: body(CODED_PLAIN, CODED_E4M3_NAN); break; \
    case CODED_BF16: body(CODED_PLAIN, CODED_BF16); break; \
    case CODED_F16: body(CODED_PLAIN, CODED_F16); break; \
    case CODED_BYTES: \
      switch ((parts)->form) { \
        case CODED_PLAIN: body(CODED_PLAIN, CODED_BYTES); break; \
        case CODED_OFFSET: body(CODED_OFFSET, CODED_BYTES); break; \
        case CODED_ZERO: body(CODED_ZERO, CODED_BYTES); break; \
        case CODED_FULL: body(CODED_FULL, CODED_BYTES); break; \
      } \
  }

void BODY(ingot_coded_panel)(const ingot_coded_panel *p) {
  if (coded_is_turned(p->of.source)) return turned_weights(p);
  coded_parts parts;
  take_apart(&p->of, p->first, p->depth, &parts);
#define FILL(form, layout) panel_in_form(form, layout, &parts, p->depth, p->panel)
  CODED_FORMS(&parts, FILL)
#undef FILL
}

/// Adds what some columns come to for `tokens` tokens, a constant where this is inlined.
INGOT_INLINE void sums_in_form(
    coded_form form, coded_layout layout, const coded_parts *parts, size_t depth, const float *x, size_t stride,
    const size_t tokens, lanes_f32 *totals) {
  lanes_f32 sums[CODED_TOKENS];
#define EACH_TOKEN _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++)
#define ADD(l, weights) { \
    lanes_f32 w = weights; \
    EACH_TOKEN sums[t] = __builtin_elementwise_fma(splat(x[t * stride + (l)]), w, sums[t]); \
  }
  EACH_TOKEN sums[t] = splat(0);
  EACH_WEIGHT(form, layout, parts, depth, ADD)
  EACH_TOKEN totals[t] = sums[t] + totals[t];
#undef ADD
#undef EACH_TOKEN
}

/// One token through two times sixteen rows: their chains hide each other's latency.
INGOT_INLINE void pair_in_form(
    coded_form form, coded_layout layout, const coded_parts pair[2], size_t depth, const float *x, lanes_f32 *totals) {
  const size_t columns = piece_columns(layout);
  lanes_f32 sums[2] = {splat(0), splat(0)};
  for (size_t piece = 0; piece * columns < depth; piece++) {
    lanes_u32 quads[2][4];
    size_t at = piece * columns, end = depth - at < columns ? depth - at : columns;
    _Pragma("clang loop unroll(full)") for (size_t p = 0; p < 2; p++) turn_piece(layout, &pair[p], piece, quads[p]);
#define ADD(l) { \
    lanes_f32 value = splat(x[at + (l)]); \
    _Pragma("clang loop unroll(full)") for (size_t p = 0; p < 2; p++) \
        sums[p] = __builtin_elementwise_fma(value, weight_of_piece(form, layout, &pair[p], quads[p], at, l), sums[p]); \
  }
    if (end == columns) {
      _Pragma("clang loop unroll(full)") for (size_t l = 0; l < columns; l++) ADD(l)
    } else {
      for (size_t l = 0; l < end; l++) ADD(l)
    }
#undef ADD
  }
  for (size_t p = 0; p < 2; p++) totals[p] = sums[p] + totals[p];
}

/// One token through all columns of `of->rows` rows, more than PANEL and at most two times as many.
static void sum_pair(const ingot_coded_sums *s) {
  size_t columns = s->of.source->columns;
  lanes_f32 totals[2] = {splat(0), splat(0)};
  coded_parts pair[2];
  for (size_t first = 0; first < columns; first += DEPTH) {
    size_t depth = columns - first < DEPTH ? columns - first : DEPTH;
    for (size_t p = 0; p < 2; p++) {
      ingot_coded_rows of = {s->of.source, s->of.row + p * PANEL, p == 0 ? PANEL : s->of.rows - PANEL};
      take_apart(&of, first, depth, &pair[p]);
    }
#define PAIR(form, layout) pair_in_form(form, layout, pair, depth, s->x + first, totals)
    CODED_FORMS(&pair[0], PAIR)
#undef PAIR
  }
  for (size_t i = 0; i < s->of.rows; i++) s->y[i] = totals[i / PANEL][i % PANEL];
}

void BODY(ingot_coded_sums)(const ingot_coded_sums *s) {
  if (coded_is_turned(s->of.source)) return turned_sums(s);
  if (s->of.rows > PANEL) return sum_pair(s);
  size_t columns = s->of.source->columns;
  lanes_f32 totals[CODED_TOKENS];
  coded_parts parts;
  for (size_t t = 0; t < CODED_TOKENS; t++) totals[t] = splat(0);
  for (size_t first = 0; first < columns; first += DEPTH) {
    size_t depth = columns - first < DEPTH ? columns - first : DEPTH;
    take_apart(&s->of, first, depth, &parts);
    size_t t = 0;
#define SOME(count) \
    for (; t + count <= s->tokens; t += count) CODED_FORMS(&parts, SUMS_##count)
#define SUMS(form, layout, count) \
  sums_in_form(form, layout, &parts, depth, s->x + t * columns + first, columns, count, totals + t)
#define SUMS_8(form, layout) SUMS(form, layout, 8)
#define SUMS_4(form, layout) SUMS(form, layout, 4)
#define SUMS_2(form, layout) SUMS(form, layout, 2)
#define SUMS_1(form, layout) SUMS(form, layout, 1)
    SOME(8) SOME(4) SOME(2) SOME(1)
#undef SOME
#undef SUMS
#undef SUMS_8
#undef SUMS_4
#undef SUMS_2
#undef SUMS_1
  }
  for (size_t t = 0; t < s->tokens; t++)
    for (size_t i = 0; i < s->of.rows; i++) s->y[t * s->leading + i] = totals[t][i];
}
#undef EACH_WEIGHT
#undef CODED_FORMS

#endif
