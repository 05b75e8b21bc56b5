// Rows of floats, and of codes that are no whole blocks or whose weights take two roundings, taken apart: parameters with a row in each
// lane, and where the codes of each row are.
#ifndef INGOT_VECTOR_CODED_PARTS_H
#define INGOT_VECTOR_CODED_PARTS_H

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

/// How the codes of a row lie.
typedef enum {
  CODED_BYTES,        // v a byte, with a sign
  // Floats, 16 bytes a piece.
  CODED_E4M3,
  CODED_E4M3_NAN,     // of which some are NaN
  CODED_BF16,
  CODED_F16,
} coded_layout;

/// Rows taken apart, at most DEPTH columns of them: parameters lane by lane, codes row by row.
typedef struct {
  coded_form form;
  coded_layout layout;
  const uint8_t *rows[PANEL];
  /// What turns a byte's highest bit into a sign.
  uint32_t flipped;
  lanes_f32 scales[CODED_PARTS], offsets[CODED_PARTS], zeros[CODED_PARTS];
  /// Where codes do not lie like that.
  int8_t values[PANEL][2 * DEPTH];
} coded_parts;

/// Rows whose values have been put into `values`.
INGOT_INLINE void take_values(coded_parts *out) {
  for (size_t i = 0; i < PANEL; i++) out->rows[i] = (const uint8_t *)out->values[i];
  out->layout = CODED_BYTES, out->flipped = 0;
}

/// Fetches what the rows after the next ones have where these have `count` bytes of a row: a product of one token takes two panels.
INGOT_INLINE void fetch_next(const uint8_t *codes, size_t row_bytes, size_t count) {
  for (size_t line = 0; line < count; line += 64) __builtin_prefetch(codes + 2 * PANEL * row_bytes + line, 0, 2);
}

INGOT_INLINE lanes_f32 from_halves(const uint16_t *codes) {
  lanes_f16 halves;
  memcpy(&halves, codes, sizeof halves);
  return __builtin_convertvector(halves, lanes_f32);
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

/// The codes where they lie, if they lie as products read them; else their values.
static void take_codes(const ingot_coded_rows *of, size_t first, size_t depth, coded_parts *out) {
  const ingot_coded *c = of->source;
  bool has_offsets = c->zeros || c->biases;
  size_t bytes = (depth * c->bits + 7) / 8;
  // As signed bytes codes of 8 bits are 128 less.
  ggml_shape shape = {0};
  shape.zero = has_offsets ? 0 : c->zero;
  shape.table = c->doubled_e2m1 ? ggml_e2m1 : NULL;
  take_values(out);
  for (size_t i = 0; i < PANEL; i++) {
    const uint8_t *from = coded_codes(c, of->row + (i < of->rows ? i : of->rows - 1), first);
    fetch_next(from, (c->columns * c->bits + 7) / 8, bytes);
    // Parts are read whole, so not where a row ends within one.
    if (c->bits == 8 && depth % CODED_PART == 0) {
      out->rows[i] = from;
      continue;
    }
    uint8_t codes[DEPTH];
    BODY(ingot_unpack)(c->bits, from, codes, depth);
    if (c->bits == 8) shape.zero = 128;
    for (size_t j = 0; j < depth; j += 16) put_values(&shape, codes + j, out->values[i] + j);
  }
  if (c->bits == 8 && depth % CODED_PART == 0) out->flipped = 0x80808080;
}

static void take_planes(const ingot_coded_rows *of, size_t first, size_t depth, coded_parts *out) {
  const ingot_coded *c = of->source;
  bool wide = c->bits == 8 && (c->zeros || c->biases), exact = c->storage != INGOT_F32;
  take_codes(of, first, depth, out);
  if (c->zeros) {
    out->form = CODED_ZERO;
  } else {
    // Products of a code of fewer than 8 bits and a half are exact.
    out->form = !c->biases ? CODED_PLAIN : wide || !exact ? CODED_FULL : CODED_OFFSET;
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
    lanes_f32 scale = parameters_of(of, c->scales, group), zero = splat(wide ? -128 : (float)c->zero);
    if (c->zeros) zero = zeros_of(of, group, wide ? 128 : 0);
    out->scales[part] = scale;
    out->zeros[part] = zero;
    out->offsets[part] = c->biases ? parameters_of(of, c->biases, group) : -(scale * zero);
  }
}

// ---- floats ------------------------------------------------------------------------------------------

INGOT_INLINE bool has_nan(const uint8_t *codes, size_t count) {
  typedef uint8_t both_u8 __attribute__((vector_size(32)));
  both_u8 found = {0};
  size_t j = 0;
  for (; j + 32 <= count; j += 32) {
    both_u8 these;
    memcpy(&these, codes + j, sizeof these);
    found |= (both_u8)((these & 0x7F) == 0x7F);
  }
  for (; j < count; j++) found[0] |= (codes[j] & 0x7F) == 0x7F;
  uint64_t words[4];
  memcpy(words, &found, sizeof words);
  return (words[0] | words[1] | words[2] | words[3]) != 0;
}

static void take_floats(const ingot_coded_rows *of, size_t first, size_t depth, coded_parts *out) {
  const ingot_coded *c = of->source;
  size_t width = c->storage == INGOT_F8E4M3 ? 1 : 2, bytes = depth * width;
  bool some_nan = false;
  take_values(out);
  out->form = CODED_PLAIN;
  for (size_t i = 0; i < PANEL; i++) {
    size_t row = of->row + (i < of->rows ? i : of->rows - 1);
    const uint8_t *from = c->codes + (row * c->columns + first) * width;
    if (width == 1 && !some_nan) some_nan = has_nan(from, bytes);
    // Pieces are read whole, so not where a row ends within one.
    if (bytes % 16 == 0) {
      out->rows[i] = from;
    } else {
      memcpy(out->values[i], from, bytes);
    }
    fetch_next(from, c->columns * width, bytes);
  }
  out->layout = width == 1 ? some_nan ? CODED_E4M3_NAN : CODED_E4M3 : c->storage == INGOT_BF16 ? CODED_BF16 : CODED_F16;
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

static void take_apart(const ingot_coded_rows *of, size_t first, size_t depth, coded_parts *out) {
  if (of->source->type == INGOT_PLANES) take_planes(of, first, depth, out);
  else take_floats(of, first, depth, out);
}

#endif
