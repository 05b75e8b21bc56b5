// Products with codes: weights of sixteen rows are decoded with a row in each lane, as the sums want them.
#ifndef INGOT_VECTOR_CODED_H
#define INGOT_VECTOR_CODED_H

#include "../coded.h"
#include "ggml_decode.h"
#include "lanes.h"

/// How a weight follows from its value v. Operations round to F32 where they are not exact.
typedef enum {
  CODED_PLAIN,   // scale · v
  CODED_OFFSET,  // scale · v + offset, the product being exact
  CODED_ZERO,    // scale · (v - zero)
  CODED_FULL,    // scale · (v - zero) + offset
} coded_form;

/// Rows taken apart, at most DEPTH columns of them: parameters lane by lane, values still row by row.
typedef struct {
  int8_t values[PANEL][DEPTH];
  lanes_f32 scales[CODED_PARTS], offsets[CODED_PARTS], zeros[CODED_PARTS];
} coded_parts;

// ---- blocks ------------------------------------------------------------------------------------------

INGOT_INLINE bool has_minima(ingot_ggml type) {
  return type == INGOT_Q4_1 || type == INGOT_Q5_1 || type == INGOT_Q2_K || type == INGOT_Q4_K || type == INGOT_Q5_K;
}

INGOT_INLINE lanes_f32 from_halves(const uint16_t *codes) {
  lanes_f16 halves;
  memcpy(&halves, codes, sizeof halves);
  return __builtin_convertvector(halves, lanes_f32);
}

/// As half_of_e8m0.
INGOT_INLINE lanes_f32 halves_of_e8m0(const uint16_t *exponents) {
  lanes_u16 narrow;
  memcpy(&narrow, exponents, sizeof narrow);
  lanes_u32 e = __builtin_convertvector(narrow, lanes_u32), two = (lanes_u32)(e < 2);
  return as_f32((two & (0x00200000 + (e & two) * 0x00200000)) | (~two & (e - 1) << 23));
}

/// Sixteen values of codes as signed bytes.
INGOT_INLINE void put_values(const ggml_shape *shape, const uint8_t *codes, int8_t *out) {
  typedef int8_t lanes_i8 __attribute__((vector_size(16)));
  lanes_u8 these;
  memcpy(&these, codes, sizeof these);
  lanes_i8 values;
  if (!shape->table) {
    values = (lanes_i8)(these - (uint8_t)shape->zero);
  } else {
#if defined(INGOT_X86)
    values = (lanes_i8)_mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)shape->table), (__m128i)these);
#else
    values = vqtbl1q_s8(vld1q_s8(shape->table), (uint8x16_t)these);
#endif
  }
  memcpy(out, &values, sizeof values);
}

INGOT_INLINE coded_form take_blocks(
    ingot_ggml type, const ingot_coded_rows *of, size_t first, size_t depth, coded_parts *out) {
  ggml_shape shape = ggml_shape_of(type);
  size_t blocks = depth / shape.weights, parts = shape.weights / shape.part;
  uint16_t d[DEPTH / 32][PANEL], m[DEPTH / 32][PANEL];
  int16_t scales[CODED_PARTS][PANEL], minima[CODED_PARTS][PANEL];
  for (size_t i = 0; i < PANEL; i++) {
    // Lanes without a row take the last one.
    size_t row = of->row + (i < of->rows ? i : of->rows - 1);
    const uint8_t *bytes = coded_blocks(of->source, shape, row, first);
    for (size_t b = 0; b < blocks; b++) {
      ggml_block block;
      ggml_read(type, bytes + b * shape.bytes, &block);
      d[b][i] = block.d;
      m[b][i] = block.m;
      for (size_t j = 0; j < parts; j++) {
        scales[b * parts + j][i] = block.scales[j];
        minima[b * parts + j][i] = block.minima[j];
      }
      for (size_t j = 0; j < shape.weights; j += 16)
        put_values(&shape, block.codes + j, out->values[i] + b * shape.weights + j);
    }
    for (size_t line = 0; line < blocks * shape.bytes; line += 64)
      __builtin_prefetch(bytes + blocks * shape.bytes + line);
  }
  size_t each = shape.part / CODED_PART;
  for (size_t b = 0; b < blocks; b++) {
    lanes_f32 most = from_halves(d[b]), least = from_halves(m[b]);
    if (type == INGOT_MXFP4) most = halves_of_e8m0(d[b]);
    for (size_t j = 0; j < parts; j++) {
      typedef int16_t lanes_i16 __attribute__((vector_size(32)));
      lanes_i16 multiples, subtracted;
      memcpy(&multiples, scales[b * parts + j], sizeof multiples);
      memcpy(&subtracted, minima[b * parts + j], sizeof subtracted);
      lanes_f32 scale = most * __builtin_convertvector(multiples, lanes_f32);
      lanes_f32 offset = -(least * __builtin_convertvector(subtracted, lanes_f32));
      for (size_t k = 0; k < each; k++) {
        out->scales[(b * parts + j) * each + k] = scale;
        if (has_minima(type)) out->offsets[(b * parts + j) * each + k] = offset;
      }
    }
  }
  return has_minima(type) ? CODED_OFFSET : CODED_PLAIN;
}

// ---- planes ------------------------------------------------------------------------------------------

/// Parameters of a group, one of each row.
INGOT_INLINE lanes_f32 parameters_of(const ingot_coded_rows *of, const uint8_t *from, size_t group) {
  const ingot_coded *c = of->source;
  size_t groups = coded_groups(c);
  uint32_t bits[PANEL];
  uint16_t halves[PANEL];
  for (size_t i = 0; i < PANEL; i++) {
    size_t at = (of->row + (i < of->rows ? i : of->rows - 1)) * groups + group;
    if (c->storage == INGOT_F32) {
      memcpy(bits + i, from + 4 * at, 4);
    } else {
      halves[i] = load_u16(from + 2 * at);
      bits[i] = (uint32_t)halves[i] << 16;
    }
  }
  if (c->storage == INGOT_F16) return from_halves(halves);
  lanes_f32 values;
  memcpy(&values, bits, sizeof values);
  return values;
}

INGOT_INLINE lanes_f32 zeros_of(const ingot_coded_rows *of, size_t group, float shift) {
  lanes_f32 values = splat(0);
  for (size_t i = 0; i < PANEL; i++)
    values[i] = (float)coded_zero(of->source, of->row + (i < of->rows ? i : of->rows - 1), group) - shift;
  return values;
}

/// Codes of 4 bits, a multiple of 32 of them, one a byte.
INGOT_INLINE void part_nibbles(const uint8_t *packed, uint8_t *codes, size_t count) {
  typedef uint8_t both_u8 __attribute__((vector_size(32)));
  for (size_t j = 0; j < count; j += 32) {
    lanes_u8 bytes;
    memcpy(&bytes, packed + j / 2, sizeof bytes);
    lanes_u8 low = bytes & 15, high = bytes >> 4;
    both_u8 all = SHUFFLE(
        low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
        14, 30, 15, 31);
    memcpy(codes + j, &all, sizeof all);
  }
}

static coded_form take_planes(const ingot_coded_rows *of, size_t first, size_t depth, coded_parts *out) {
  const ingot_coded *c = of->source;
  bool wide = c->bits == 8 && (c->zeros || c->biases);
  // As signed bytes codes of 8 bits are 128 less.
  ggml_shape shape = {0};
  shape.zero = wide ? 128 : c->zeros || c->biases ? 0 : c->zero;
  shape.table = c->doubled_e2m1 ? ggml_e2m1 : NULL;
  size_t bytes = (depth * c->bits + 7) / 8;
  for (size_t i = 0; i < PANEL; i++) {
    uint8_t codes[DEPTH];
    const uint8_t *from = coded_codes(c, of->row + (i < of->rows ? i : of->rows - 1), first);
    if (c->bits == 4 && depth % 32 == 0) {
      part_nibbles(from, codes, depth);
    } else {
      BODY(ingot_unpack)(c->bits, from, codes, depth);
    }
    for (size_t j = 0; j < depth; j += 16) put_values(&shape, codes + j, out->values[i] + j);
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(from + bytes + line);
  }
  size_t group = (size_t)-1;
  for (size_t part = 0; part * CODED_PART < depth; part++) {
    size_t next = (first + part * CODED_PART) / c->group;
    if (next == group) {
      out->scales[part] = out->scales[part - 1];
      out->offsets[part] = out->offsets[part - 1];
      out->zeros[part] = out->zeros[part - 1];
      continue;
    }
    group = next;
    out->scales[part] = parameters_of(of, c->scales, group);
    out->offsets[part] = c->biases ? parameters_of(of, c->biases, group) : splat(0);
    out->zeros[part] = c->zeros ? zeros_of(of, group, wide ? 128 : 0) : splat(wide ? -128 : 0);
  }
  if (c->zeros) return CODED_ZERO;
  if (!c->biases) return CODED_PLAIN;
  // Products of a code of fewer than 8 bits and a half are exact.
  return wide || c->storage == INGOT_F32 ? CODED_FULL : CODED_OFFSET;
}

static coded_form take_apart(const ingot_coded_rows *of, size_t first, size_t depth, coded_parts *out) {
#define TAKE(constant) return take_blocks(constant, of, first, depth, out)
  if (of->source->type != INGOT_PLANES) GGML_CASES((ingot_ggml)of->source->type, TAKE)
#undef TAKE
  return take_planes(of, first, depth, out);
}

// ---- weights -----------------------------------------------------------------------------------------

typedef uint32_t four_u32 __attribute__((vector_size(16)));
typedef uint32_t eight_u32 __attribute__((vector_size(32)));

/// Four bytes from each of four rows, four rows apart.
INGOT_INLINE lanes_u32 four_rows(const int8_t values[PANEL][DEPTH], size_t row, size_t column) {
  four_u32 part[4];
  _Pragma("clang loop unroll(full)") for (size_t i = 0; i < 4; i++)
      memcpy(part + i, &values[row + 4 * i][column], sizeof *part);
  eight_u32 low = SHUFFLE(part[0], part[1], 0, 1, 2, 3, 4, 5, 6, 7);
  eight_u32 high = SHUFFLE(part[2], part[3], 0, 1, 2, 3, 4, 5, 6, 7);
  return SHUFFLE(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/// Sixteen columns of values from `column` on: lane i of quads[q] has columns 4q ..< 4q + 4 of row i.
INGOT_INLINE void turn_values(const int8_t values[PANEL][DEPTH], size_t column, lanes_u32 quads[4]) {
  lanes_u32 a = four_rows(values, 0, column), b = four_rows(values, 1, column);
  lanes_u32 c = four_rows(values, 2, column), d = four_rows(values, 3, column);
  lanes_u32 ab = SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
  lanes_u32 cd = SHUFFLE(c, d, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
  quads[0] = SHUFFLE(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
  quads[1] = SHUFFLE(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  ab = SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  cd = SHUFFLE(c, d, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  quads[2] = SHUFFLE(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
  quads[3] = SHUFFLE(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}

/// A weight of each row, from the byte `at` of four.
INGOT_INLINE lanes_f32 coded_weight(
    coded_form form, lanes_u32 quad, unsigned at, lanes_f32 scale, lanes_f32 offset, lanes_f32 zero) {
  lanes_f32 value = __builtin_convertvector((lanes_i32)(quad << (24 - 8 * at)) >> 24, lanes_f32);
  switch (form) {
    case CODED_PLAIN: return value * scale;
    case CODED_OFFSET: return __builtin_elementwise_fma(value, scale, offset);
    case CODED_ZERO: return (value - zero) * scale;
    case CODED_FULL: return (value - zero) * scale + offset;
  }
  __builtin_unreachable();
}

/// Does `body(l, weights)` for each column l of `depth`.
#define EACH_WEIGHT(form, parts, depth, body) \
  for (size_t part = 0; part * CODED_PART < depth; part++) { \
    lanes_u32 quads[4]; \
    turn_values((parts)->values, part * CODED_PART, quads); \
    lanes_f32 scale = (parts)->scales[part], offset = splat(0), zero = splat(0); \
    if (form == CODED_OFFSET || form == CODED_FULL) offset = (parts)->offsets[part]; \
    if (form == CODED_ZERO || form == CODED_FULL) zero = (parts)->zeros[part]; \
    size_t at = part * CODED_PART; \
    if (at + CODED_PART <= depth) { \
      _Pragma("clang loop unroll(full)") for (unsigned l = 0; l < CODED_PART; l++) \
          body(at + l, coded_weight(form, quads[l / 4], l % 4, scale, offset, zero)) \
    } else { \
      for (unsigned l = 0; at + l < depth; l++) \
        body(at + l, coded_weight(form, quads[l / 4], l % 4, scale, offset, zero)) \
    } \
  }

INGOT_INLINE void panel_in_form(coded_form form, const coded_parts *parts, size_t depth, float *panel) {
#define PUT(l, weights) store_lanes(panel + (l) * PANEL, weights);
  EACH_WEIGHT(form, parts, depth, PUT)
#undef PUT
}

#define CODED_FORMS(form, body) \
  switch (form) { \
    case CODED_PLAIN: body(CODED_PLAIN); break; \
    case CODED_OFFSET: body(CODED_OFFSET); break; \
    case CODED_ZERO: body(CODED_ZERO); break; \
    case CODED_FULL: body(CODED_FULL); break; \
  }

void BODY(ingot_coded_panel)(const ingot_coded_panel *p) {
  coded_parts parts;
  coded_form form = take_apart(&p->of, p->first, p->depth, &parts);
#define FILL(form) panel_in_form(form, &parts, p->depth, p->panel)
  CODED_FORMS(form, FILL)
#undef FILL
}

/// Adds what some columns come to for `tokens` tokens, a constant where this is inlined.
INGOT_INLINE void sums_in_form(
    coded_form form, const coded_parts *parts, size_t depth, const float *x, size_t stride, const size_t tokens,
    lanes_f32 *totals) {
  lanes_f32 sums[CODED_TOKENS];
#define EACH_TOKEN _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++)
#define ADD(l, weights) { \
    lanes_f32 w = weights; \
    EACH_TOKEN sums[t] = __builtin_elementwise_fma(splat(x[t * stride + (l)]), w, sums[t]); \
  }
  EACH_TOKEN sums[t] = splat(0);
  EACH_WEIGHT(form, parts, depth, ADD)
  EACH_TOKEN totals[t] = sums[t] + totals[t];
#undef ADD
#undef EACH_TOKEN
}

void BODY(ingot_coded_sums)(const ingot_coded_sums *s) {
  size_t columns = s->of.source->columns;
  lanes_f32 totals[CODED_TOKENS];
  coded_parts parts;
  for (size_t t = 0; t < CODED_TOKENS; t++) totals[t] = splat(0);
  for (size_t first = 0; first < columns; first += DEPTH) {
    size_t depth = columns - first < DEPTH ? columns - first : DEPTH;
    coded_form form = take_apart(&s->of, first, depth, &parts);
    size_t t = 0;
#define SOME(count) \
    for (; t + count <= s->tokens; t += count) CODED_FORMS(form, SUMS_##count)
#define SUMS(form, count) \
  sums_in_form(form, &parts, depth, s->x + t * columns + first, columns, count, totals + t)
#define SUMS_8(form) SUMS(form, 8)
#define SUMS_4(form) SUMS(form, 4)
#define SUMS_2(form) SUMS(form, 2)
#define SUMS_1(form) SUMS(form, 1)
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
