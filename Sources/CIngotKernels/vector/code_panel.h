// Codes of sixteen rows as sums of integers want them: lane i of a word has four neighbouring codes of row i.
#ifndef INGOT_VECTOR_CODE_PANEL_H
#define INGOT_VECTOR_CODE_PANEL_H

#include "../rounded.h"
#include "fetched.h"
#include "turned_bytes.h"

/// At most DEPTH columns of sixteen rows.
typedef struct {
  lanes_u32 codes[DEPTH / 4];
  lanes_f32 scales[DEPTH / 16], offsets[DEPTH / 16];  // by parts
} code_panel;

INGOT_INLINE lanes_f32 lower_halves(lanes_u32 words) {
  return __builtin_convertvector((lanes_f16)__builtin_convertvector(words, lanes_u16), lanes_f32);
}

/// A number of `bytes` bytes of each row, 1, 2 or 4.
INGOT_INLINE lanes_u32 number_of_rows(const uint8_t *const rows[PANEL], size_t at, const size_t bytes) {
  uint32_t n[PANEL];
  _Pragma("clang loop unroll(full)") for (size_t i = 0; i < PANEL; i++) {
    n[i] = 0;
    memcpy(n + i, rows[i] + at, bytes);
  }
  return (lanes_u32){n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15]};
}

/// 16 bytes of each row that have 32 codes: those of the low halves, then of the high ones.
INGOT_INLINE void turn_halves(const uint8_t *const rows[PANEL], size_t at, lanes_u32 *low, lanes_u32 *high) {
  lanes_u32 quads[4];
  turn_bytes(rows, at, quads);
  _Pragma("clang loop unroll(full)") for (size_t q = 0; q < 4; q++) {
    low[q] = quads[q] & 0x0F0F0F0F;
    high[q] = quads[q] >> 4 & 0x0F0F0F0F;
  }
}

/// Byte j of words, with a sign or without, as floats.
INGOT_INLINE lanes_f32 byte_of(lanes_u32 words, size_t j) {
  return __builtin_convertvector((lanes_i32)(words >> (8 * j) & 0xFF), lanes_f32);
}

INGOT_INLINE lanes_f32 signed_byte_of(lanes_u32 words, size_t j) {
  return __builtin_convertvector((lanes_i32)(words << (24 - 8 * j)) >> 24, lanes_f32);
}

/// Q4_K and Q5_K.
INGOT_INLINE void turn_k(ingot_ggml type, const uint8_t *const rows[PANEL], code_panel *out) {
  lanes_u32 head[4], scales[2], minima[2], fifth[8];
  turn_bytes(rows, 0, head);
  lanes_f32 most = lower_halves(head[0]), least = lower_halves(head[0] >> 16);
  scales[0] = head[1] & 0x3F3F3F3F;
  minima[0] = head[2] & 0x3F3F3F3F;
  scales[1] = (head[3] & 0x0F0F0F0F) | (head[1] >> 6 & 0x03030303) << 4;
  minima[1] = (head[3] >> 4 & 0x0F0F0F0F) | (head[2] >> 6 & 0x03030303) << 4;
  _Pragma("clang loop unroll(full)") for (size_t j = 0; j < 8; j++) {
    out->scales[j] = most * byte_of(scales[j / 4], j % 4);
    out->offsets[j] = -(least * byte_of(minima[j / 4], j % 4));
  }
  size_t from = 16;
  if (type == INGOT_Q5_K) {
    turn_bytes(rows, 16, fifth);
    turn_bytes(rows, 32, fifth + 4);
    from = 48;
  }
  _Pragma("clang loop unroll(full)") for (size_t j = 0; j < 4; j++) {
    lanes_u32 *low = out->codes + 16 * j, *high = low + 8;
    turn_halves(rows, from + 32 * j, low, high);
    turn_halves(rows, from + 32 * j + 16, low + 4, high + 4);
    if (type != INGOT_Q5_K) continue;
    _Pragma("clang loop unroll(full)") for (size_t q = 0; q < 8; q++) {
      low[q] |= (fifth[q] >> (2 * j) & 0x01010101) << 4;
      high[q] |= (fifth[q] >> (2 * j + 1) & 0x01010101) << 4;
    }
  }
}

INGOT_INLINE void turn_q6_k(const uint8_t *const rows[PANEL], code_panel *out) {
  lanes_u32 scales[4];
  lanes_f32 most = lower_halves(number_of_rows(rows, 208, 2));
  turn_bytes(rows, 192, scales);
  _Pragma("clang loop unroll(full)") for (size_t j = 0; j < 16; j++)
      out->scales[j] = most * signed_byte_of(scales[j / 4], j % 4);
  _Pragma("clang loop unroll(full)") for (size_t half = 0; half < 2; half++) {
    lanes_u32 *codes = out->codes + 32 * half, pairs[8];
    _Pragma("clang loop unroll(full)") for (size_t j = 0; j < 4; j++)
        turn_halves(rows, 64 * half + 16 * j, codes + 4 * j, codes + 16 + 4 * j);
    turn_bytes(rows, 128 + 32 * half, pairs);
    turn_bytes(rows, 128 + 32 * half + 16, pairs + 4);
    _Pragma("clang loop unroll(full)") for (size_t q = 0; q < 32; q++)
        codes[q] |= (pairs[q % 8] >> (q / 8 * 2) & 0x03030303) << 4;
  }
}

INGOT_INLINE void turn_q2_k(const uint8_t *const rows[PANEL], code_panel *out) {
  lanes_u32 both[4], head = number_of_rows(rows, 80, 4), pairs[8];
  lanes_f32 most = lower_halves(head), least = lower_halves(head >> 16);
  turn_bytes(rows, 0, both);
  _Pragma("clang loop unroll(full)") for (size_t j = 0; j < 16; j++) {
    out->scales[j] = most * byte_of(both[j / 4] & 0x0F0F0F0F, j % 4);
    out->offsets[j] = -(least * byte_of(both[j / 4] >> 4 & 0x0F0F0F0F, j % 4));
  }
  _Pragma("clang loop unroll(full)") for (size_t half = 0; half < 2; half++) {
    turn_bytes(rows, 16 + 32 * half, pairs);
    turn_bytes(rows, 32 + 32 * half, pairs + 4);
    _Pragma("clang loop unroll(full)") for (size_t q = 0; q < 32; q++)
        out->codes[32 * half + q] = pairs[q % 8] >> (q / 8 * 2) & 0x03030303;
  }
}

INGOT_INLINE void turn_q3_k(const uint8_t *const rows[PANEL], code_panel *out) {
  lanes_u32 third[8], pairs[8], scales[4];
  lanes_u32 low = number_of_rows(rows, 96, 4), next = number_of_rows(rows, 100, 4), high = number_of_rows(rows, 104, 4);
  lanes_f32 most = lower_halves(number_of_rows(rows, 108, 2));
  scales[0] = (low & 0x0F0F0F0F) | (high & 0x03030303) << 4;
  scales[1] = (next & 0x0F0F0F0F) | (high >> 2 & 0x03030303) << 4;
  scales[2] = (low >> 4 & 0x0F0F0F0F) | (high >> 4 & 0x03030303) << 4;
  scales[3] = (next >> 4 & 0x0F0F0F0F) | (high >> 6 & 0x03030303) << 4;
  _Pragma("clang loop unroll(full)") for (size_t j = 0; j < 16; j++)
      out->scales[j] = most * (byte_of(scales[j / 4], j % 4) - 32);
  turn_bytes(rows, 0, third);
  turn_bytes(rows, 16, third + 4);
  _Pragma("clang loop unroll(full)") for (size_t half = 0; half < 2; half++) {
    turn_bytes(rows, 32 + 32 * half, pairs);
    turn_bytes(rows, 48 + 32 * half, pairs + 4);
    _Pragma("clang loop unroll(full)") for (size_t q = 0; q < 32; q++)
        out->codes[32 * half + q] = (pairs[q % 8] >> (q / 8 * 2) & 0x03030303) |
                                    (third[q % 8] >> (4 * half + q / 8) & 0x01010101) << 2;
  }
}

/// Entries of a table, 128 more, in the place of halves.
INGOT_INLINE void look_up(const int8_t table[16], lanes_u32 *codes, size_t count) {
  uint8_t raised[16];
  for (size_t i = 0; i < 16; i++) raised[i] = (uint8_t)table[i] ^ 0x80;
  for (size_t q = 0; q < count; q++) {
    lanes_u8 quarters[4];
    memcpy(quarters, codes + q, sizeof quarters);
    for (size_t i = 0; i < 4; i++) {
#if defined(INGOT_X86)
      quarters[i] = (lanes_u8)_mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)raised), (__m128i)quarters[i]);
#else
      quarters[i] = vqtbl1q_u8(vld1q_u8(raised), quarters[i]);
#endif
    }
    memcpy(codes + q, quarters, sizeof quarters);
  }
}

INGOT_INLINE void turn_iq4_xs(const uint8_t *const rows[PANEL], code_panel *out) {
  lanes_u32 head = number_of_rows(rows, 0, 4), low = number_of_rows(rows, 4, 4);
  lanes_f32 most = lower_halves(head);
  _Pragma("clang loop unroll(full)") for (size_t j = 0; j < 8; j++) {
    lanes_u32 scale = (low >> (4 * j) & 15) | (head >> (16 + 2 * j) & 3) << 4;
    out->scales[j] = most * __builtin_convertvector((lanes_i32)scale - 32, lanes_f32);
    turn_halves(rows, 8 + 16 * j, out->codes + 8 * j, out->codes + 8 * j + 4);
  }
  look_up(ggml_curve, out->codes, DEPTH / 4);
}

/// As half_of_e8m0.
INGOT_INLINE lanes_f32 half_scales(lanes_u32 exponents) {
  lanes_u32 two = (lanes_u32)(exponents < 2);
  return as_f32((two & (0x00200000 + (exponents & two) * 0x00200000)) | (~two & (exponents - 1) << 23));
}

/// Blocks of 32 weights, `number` of them. `type` is a constant.
INGOT_INLINE void turn_small(ingot_ggml type, const uint8_t *const from[PANEL], size_t number, code_panel *out) {
  size_t bytes = ggml_shape_of(type).bytes, codes_at = bytes - (type == INGOT_Q8_0 ? 32 : 16);
  bool fifth = type == INGOT_Q5_0 || type == INGOT_Q5_1;
  for (size_t b = 0; b < number; b++) {
    const uint8_t *rows[PANEL];
    for (size_t i = 0; i < PANEL; i++) rows[i] = from[i] + b * bytes;
    lanes_u32 *codes = out->codes + 8 * b;
    lanes_u32 head = number_of_rows(rows, 0, has_minima(type) ? 4 : type == INGOT_MXFP4 ? 1 : 2);
    out->scales[b] = type == INGOT_MXFP4 ? half_scales(head) : lower_halves(head);
    if (has_minima(type)) out->offsets[b] = lower_halves(head >> 16);
    if (type == INGOT_Q8_0) {
      turn_bytes(rows, 2, codes);
      turn_bytes(rows, 18, codes + 4);
      for (size_t q = 0; q < 8; q++) codes[q] ^= 0x80808080;
      continue;
    }
    turn_halves(rows, codes_at, codes, codes + 4);
    if (fifth) {
      lanes_u32 bits = number_of_rows(rows, codes_at - 4, 4);
      // Four bits become the fifth ones of four bytes.
      _Pragma("clang loop unroll(full)") for (size_t q = 0; q < 8; q++)
          codes[q] |= ((bits >> (4 * q) & 15) * 0x00204081 & 0x01010101) << 4;
    }
    if (type == INGOT_IQ4_NL) look_up(ggml_curve, codes, 8);
    if (type == INGOT_MXFP4) look_up(ggml_e2m1, codes, 8);
  }
}

/// Codes that lie in no other way.
typedef struct {
  uint8_t codes[PANEL][DEPTH];
} loose_codes;

INGOT_INLINE void turn_loose(const loose_codes *loose, size_t depth, code_panel *out) {
  const uint8_t *rows[PANEL];
  for (size_t i = 0; i < PANEL; i++) rows[i] = loose->codes[i];
  for (size_t at = 0; at < depth; at += 16) turn_bytes(rows, at, out->codes + at / 4);
}

/// Scales or biases, one of each row.
INGOT_INLINE lanes_f32 stored_numbers(ingot_float storage, const uint8_t *const rows[PANEL], size_t at) {
  if (storage == INGOT_F32) return as_f32(number_of_rows(rows, at, 4));
  lanes_u32 halves = number_of_rows(rows, at, 2);
  return storage == INGOT_BF16 ? as_f32(halves << 16) : lower_halves(halves);
}

static void turn_planes(
    const ingot_coded_rows *of, code_form form, size_t first, size_t depth, code_panel *out) {
  const ingot_coded *c = of->source;
  size_t numbers[PANEL], groups = coded_groups(c), width = c->storage == INGOT_F32 ? 4 : 2;
  const uint8_t *rows[PANEL], *scales[PANEL], *biases[PANEL], *zeros[PANEL];
  for (size_t i = 0; i < PANEL; i++) {
    numbers[i] = of->row + (i < of->rows ? i : of->rows - 1);
    rows[i] = coded_codes(c, numbers[i], first);
    scales[i] = c->scales + numbers[i] * groups * width;
    zeros[i] = c->zeros ? c->zeros + numbers[i] * ((groups * c->bits + 7) / 8) : NULL;
    biases[i] = c->biases ? c->biases + numbers[i] * groups * width : NULL;
  }
  if (form.neighbours) {
    for (size_t b = 0; b < depth / CODE_BLOCK; b++) turn_halves(rows, 16 * b, out->codes + 8 * b, out->codes + 8 * b + 4);
  } else if (c->bits == 8) {
    for (size_t at = 0; at < depth; at += 16) turn_bytes(rows, at, out->codes + at / 4);
  } else {
    loose_codes loose;
    for (size_t i = 0; i < PANEL; i++) {
      CODES_UNPACK(c->bits, rows[i], loose.codes[i], depth);
      if (c->doubled_e2m1)
        for (size_t l = 0; l < depth; l++) loose.codes[i][l] = (uint8_t)ggml_e2m1[loose.codes[i][l]] ^ 0x80;
    }
    turn_loose(&loose, depth, out);
  }
  size_t group = (size_t)-1, part = code_part(form);
  for (size_t p = 0; p < depth / part; p++) {
    size_t next = (first + p * part) / c->group;
    if (next == group) {
      out->scales[p] = out->scales[p - 1];
      out->offsets[p] = out->offsets[p - 1];
      continue;
    }
    group = next;
    out->scales[p] = stored_numbers(c->storage, scales, group * width);
    if (c->biases) {
      out->offsets[p] = stored_numbers(c->storage, biases, group * width);
    } else if (c->zeros && 8 % c->bits == 0) {
      // In one byte.
      size_t bit = group * c->bits;
      lanes_u32 points = number_of_rows(zeros, bit / 8, 1) >> (uint32_t)(bit % 8) & ((1u << c->bits) - 1);
      out->offsets[p] = -(out->scales[p] * __builtin_convertvector((lanes_i32)points, lanes_f32));
    } else if (c->zeros) {
      float points[PANEL];
      for (size_t i = 0; i < PANEL; i++) points[i] = (float)coded_zero(c, numbers[i], group);
      out->offsets[p] = -(out->scales[p] * load_lanes(points));
    }
  }
}

/// Rows in columns first ..< first + depth: first a multiple of DEPTH, depth DEPTH at most.
static void turn_rows(
    const ingot_coded_rows *of, code_form form, size_t first, size_t depth, code_panel *out) {
  const ingot_coded *c = of->source;
  if (c->type == INGOT_PLANES) return turn_planes(of, form, first, depth, out);
  ingot_ggml type = (ingot_ggml)c->type;
  ggml_shape shape = ggml_shape_of(type);
  const uint8_t *rows[PANEL];
  // Lanes without a row take the last one.
  for (size_t i = 0; i < PANEL; i++)
    rows[i] = coded_blocks(c, shape, of->row + (i < of->rows ? i : of->rows - 1), first);
  switch (type) {
    case INGOT_Q4_0: turn_small(INGOT_Q4_0, rows, depth / 32, out); return;
    case INGOT_Q4_1: turn_small(INGOT_Q4_1, rows, depth / 32, out); return;
    case INGOT_Q8_0: turn_small(INGOT_Q8_0, rows, depth / 32, out); return;
    case INGOT_Q4_K: turn_k(INGOT_Q4_K, rows, out); return;
    case INGOT_Q5_K: turn_k(INGOT_Q5_K, rows, out); return;
    case INGOT_Q6_K: turn_q6_k(rows, out); return;
    case INGOT_Q5_0: turn_small(INGOT_Q5_0, rows, depth / 32, out); return;
    case INGOT_Q5_1: turn_small(INGOT_Q5_1, rows, depth / 32, out); return;
    case INGOT_IQ4_NL: turn_small(INGOT_IQ4_NL, rows, depth / 32, out); return;
    case INGOT_MXFP4: turn_small(INGOT_MXFP4, rows, depth / 32, out); return;
    case INGOT_Q2_K: turn_q2_k(rows, out); return;
    case INGOT_Q3_K: turn_q3_k(rows, out); return;
    case INGOT_IQ4_XS: turn_iq4_xs(rows, out); return;
  }
}

#endif
