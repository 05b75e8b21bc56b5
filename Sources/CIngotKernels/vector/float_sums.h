// Products with floats as they are stored: E4M3, BF16 or F16, w = scale · float.
#ifndef INGOT_VECTOR_FLOAT_SUMS_H
#define INGOT_VECTOR_FLOAT_SUMS_H

#include "fetched.h"
#include "panel_sums.h"
#include "turned_bytes.h"

typedef enum {
  FLOATS_E4M3,
  FLOATS_E4M3_NAN,  // of which some are NaN
  FLOATS_BF16,
  FLOATS_F16,
} floats_kind;

/// At most DEPTH columns of sixteen rows: lane i of a word has two or four neighbours of row i.
typedef struct {
  lanes_u32 words[DEPTH / 2];
  lanes_f32 scales[CODED_PARTS];
  bool some_nan;
} float_panel;

/// E4M3 in the highest byte of words. Moved into the fields of F32 with another exponent a code is worth its value, but that
/// subnormal ones are as (1 + m/8) 2^-7 there. No product has a subnormal factor, which would take long.
INGOT_INLINE lanes_f32 from_e4m3(lanes_u32 word, bool some_nan) {
  lanes_u32 sign = word & 0x80000000, size = word >> 4 & 0x07F00000;
  lanes_f32 value = as_f32(size + 0x3C000000);
  value = choose((lanes_i32)(size < 0x00800000), value + value - 0x1p-6f, value);
  if (some_nan) value = choose((lanes_i32)(size == 0x07F00000), as_f32((lanes_u32)splat(0) | 0x7FC00000), value);
  return as_f32(as_bits(value) | sign);
}

INGOT_INLINE size_t floats_width(floats_kind kind) { return kind == FLOATS_E4M3 || kind == FLOATS_E4M3_NAN ? 1 : 2; }

/// The weights of a column. `kind` is a constant.
INGOT_INLINE lanes_f32 float_weights(floats_kind kind, const float_panel *panel, size_t column) {
  lanes_u32 word = panel->words[column * floats_width(kind) / 4];
  lanes_f32 scale = panel->scales[column / CODED_PART];
  switch (kind) {
    case FLOATS_E4M3: return from_e4m3(word << (24 - 8 * (column % 4)), false) * scale;
    case FLOATS_E4M3_NAN: return from_e4m3(word << (24 - 8 * (column % 4)), true) * scale;
    case FLOATS_BF16: return as_f32(column % 2 == 0 ? word << 16 : word & 0xFFFF0000) * scale;
    case FLOATS_F16: {
      lanes_u16 narrow = __builtin_convertvector(word >> (column % 2 * 16), lanes_u16);
      return __builtin_convertvector((lanes_f16)narrow, lanes_f32) * scale;
    }
  }
  __builtin_unreachable();
}

static void turn_floats(const ingot_coded_rows *of, size_t first, size_t depth, float_panel *out) {
  const ingot_coded *c = of->source;
  size_t width = c->storage == INGOT_F8E4M3 ? 1 : 2, bytes = depth * width, at = 0;
  const uint8_t *rows[PANEL];
  uint8_t rests[PANEL][16];
  // Lanes without a row take the last one.
  for (size_t i = 0; i < PANEL; i++)
    rows[i] = c->codes + ((of->row + (i < of->rows ? i : of->rows - 1)) * c->columns + first) * width;
  for (; at + 16 <= bytes; at += 16) turn_bytes(rows, at, out->words + at / 4);
  if (at < bytes) {
    for (size_t i = 0; i < PANEL; i++) {
      memset(rests[i], 0, 16);
      memcpy(rests[i], rows[i] + at, bytes - at);
      rows[i] = rests[i];
    }
    turn_bytes(rows, 0, out->words + at / 4);
  }
  out->some_nan = false;
  if (width == 1) {
    lanes_u32 found = {0};
    for (size_t q = 0; q < (bytes + 3) / 4; q++) {
      // The highest bit of a byte: its other bits are all set.
      found |= (out->words[q] & 0x7F7F7F7F) + 0x01010101;
    }
    out->some_nan = __builtin_reduce_or(found & 0x80808080) != 0;
  }
  const float *scales = (const float *)c->scales;
  size_t group = (size_t)-1;
  for (size_t part = 0; part * CODED_PART < depth; part++) {
    size_t next = scales ? (first + part * CODED_PART) / c->group : 0;
    out->scales[part] = splat(1);
    if (scales && next == group) out->scales[part] = out->scales[part - 1];
    else if (scales)
      for (size_t i = 0; i < PANEL; i++)
        out->scales[part][i] =
            scales[(of->row + (i < of->rows ? i : of->rows - 1)) / c->group_rows * coded_groups(c) + next];
    group = next;
  }
}

/// Calls `body(KIND)` with a constant.
#define EACH_KIND(storage, some_nan, body) \
  if ((storage) == INGOT_BF16) body(FLOATS_BF16); \
  else if ((storage) == INGOT_F16) body(FLOATS_F16); \
  else if (some_nan) body(FLOATS_E4M3_NAN); \
  else body(FLOATS_E4M3)

INGOT_INLINE void put_float_weights(floats_kind kind, const float_panel *panel, size_t depth, float *out) {
  size_t l = 0;
  for (; l + CODED_PART <= depth; l += CODED_PART)
    _Pragma("clang loop unroll(full)") for (size_t j = 0; j < CODED_PART; j++)
        store_lanes(out + (l + j) * PANEL, float_weights(kind, panel, l + j));
  for (; l < depth; l++) store_lanes(out + l * PANEL, float_weights(kind, panel, l));
}

static void weights_of_floats(const ingot_coded_panel *p) {
  float_panel panel;
  turn_floats(&p->of, p->first, p->depth, &panel);
#define PUT(kind) put_float_weights(kind, &panel, p->depth, p->panel)
  EACH_KIND(p->of.source->storage, panel.some_nan, PUT);
#undef PUT
}

/// Adds what some columns of `count` panels come to for `tokens` tokens to totals (panels, CODED_TOKENS). What is const is a constant.
INGOT_INLINE void add_floats(
    floats_kind kind, const float_panel *panels, const float *x, size_t stride, size_t depth, const size_t count,
    const size_t tokens, coded_fetch fetch, lanes_f32 *totals) {
  lanes_f32 sums[CODED_PANELS][CODED_TOKENS];
  EACH_PANEL EACH_TOKEN sums[i][t] = splat(0);
#define ADD(column) { \
    lanes_f32 values[CODED_TOKENS]; \
    EACH_TOKEN values[t] = splat(x[t * stride + (column)]); \
    EACH_PANEL { \
      lanes_f32 weights = float_weights(kind, panels + i, column); \
      EACH_TOKEN sums[i][t] = __builtin_elementwise_fma(values[t], weights, sums[i][t]); \
    } \
  }
  size_t l = 0;
  for (; l + CODED_PART <= depth; l += CODED_PART) {
    if (l % CODE_BLOCK == 0) fetch_some(&fetch);
    _Pragma("clang loop unroll(full)") for (size_t j = 0; j < CODED_PART; j++) ADD(l + j)
  }
  for (; l < depth; l++) ADD(l)
#undef ADD
  EACH_PANEL EACH_TOKEN totals[i * CODED_TOKENS + t] = sums[i][t] + totals[i * CODED_TOKENS + t];
}

static void sums_of_floats(const ingot_coded_sums *s) {
  const ingot_coded *c = s->of.source;
  size_t count = (s->of.rows + PANEL - 1) / PANEL;
  float_panel panels[CODED_PANELS];
  coded_totals totals;
  for (size_t i = 0; i < count * CODED_TOKENS; i++) totals.of[i] = splat(0);
  for (size_t first = 0; first < c->columns; first += DEPTH) {
    size_t depth = c->columns - first < DEPTH ? c->columns - first : DEPTH;
    bool some_nan = false;
    for (size_t p = 0; p < count; p++) {
      ingot_coded_rows of = rows_of_panel(&s->of, p);
      turn_floats(&of, first, depth, &panels[p]);
      some_nan |= panels[p].some_nan;
    }
    coded_fetch all = fetch_near(c, s->of.row, count, first), none = {0};
#define SOME(count_, tokens_) \
    EACH_KIND(c->storage, some_nan, SOME_##count_##_##tokens_)
#define OF_KIND(kind, count_, tokens_) \
    add_floats( \
        kind, panels + panel, s->x + token * c->columns + first, c->columns, depth, count_, tokens_, \
        panel + token == 0 ? all : none, totals.of + panel * CODED_TOKENS + token)
#define SOME_4_1(kind) OF_KIND(kind, 4, 1)
#define SOME_2_1(kind) OF_KIND(kind, 2, 1)
#define SOME_2_2(kind) OF_KIND(kind, 2, 2)
#define SOME_1_8(kind) OF_KIND(kind, 1, 8)
#define SOME_1_4(kind) OF_KIND(kind, 1, 4)
#define SOME_1_1(kind) OF_KIND(kind, 1, 1)
    CODED_ALL(count, s->tokens, SOME)
#undef SOME
#undef OF_KIND
#undef SOME_4_1
#undef SOME_2_1
#undef SOME_2_2
#undef SOME_1_8
#undef SOME_1_4
#undef SOME_1_1
  }
  put_totals(&totals, s);
}
#undef EACH_KIND

#endif
