// Round to nearest from stored rows to GGML blocks of 32 weights and to micro-scaled codes, without the values standing
// in memory: as affine_rows.h.
#ifndef INGOT_VECTOR_BLOCK_ROWS_H
#define INGOT_VECTOR_BLOCK_ROWS_H

#include "../ggml_nearest.h"
#include "affine_rows.h"
#include "micro.h"

/// The parameters of sixteen blocks.
typedef struct {
  float scale[16], base[16], inverse[16];
  uint16_t d[16], m[16];
} block_parameters;

/// The sign of the first weight of greatest magnitude where that occurs with both.
static void find_first_extremes(
    ingot_float format, const uint8_t *from, size_t count, lanes_i32 tied, lanes_f32 high, lanes_f32 *extreme) {
  for (size_t i = 0; i < count; i++) {
    if (!tied[i]) continue;
    const uint8_t *codes = from + 32 * i * width_of(format);
    unsigned top = 0;
    bool negative = false;
    for (size_t j = 0; j < 32; j++) {
      unsigned code = format == INGOT_F8E4M3 ? codes[j] : load_u16(codes + 2 * j);
      unsigned sign = format == INGOT_F8E4M3 ? 0x80 : 0x8000, size = code & (sign - 1);
      if (size > top) {
        top = size;
        negative = (code & sign) != 0;
      }
    }
    (*extreme)[i] = negative ? -high[i] : high[i];
  }
}

/// As `ggml_rounding_for`, sixteen at once; false where that would leave the range in which they are plain.
INGOT_INLINE bool block_fits(
    ingot_ggml type, ingot_float format, const uint8_t *from, size_t count, lane_extremes e, block_parameters *p) {
  lanes_f32 none = splat(0), d, base = none;
  lanes_i32 negative = -e.low > e.high;
  lanes_f32 extreme = choose(negative, e.low, e.high);
  // Not -0, which would show in the scale.
  extreme = choose(extreme == 0, none, extreme);
  bool minima = type == INGOT_Q4_1 || type == INGOT_Q5_1;
  if (type == INGOT_Q4_0 || type == INGOT_Q5_0) {
    lanes_i32 tied = (-e.low == e.high) & (e.high > 0);
    if (any_lane(tied)) find_first_extremes(format, from, count, tied, e.high, &extreme);
    d = extreme / (type == INGOT_Q4_0 ? -8.0f : -16.0f);
  } else if (minima) {
    d = (e.high - e.low) / (type == INGOT_Q4_1 ? 15.0f : 31.0f);
    base = e.low;
    // Whether the first zero of several has a sign is not known.
    if (any_lane((lanes_i32)(as_bits(base) == 0x80000000) | (magnitudes(base) > 65504))) return false;
  } else {
    d = magnitudes(extreme) / 127.0f;
  }
  lanes_f32 size = magnitudes(d);
  lanes_i32 zero = d == 0;
  if (any_lane(~(zero | ((size > 0x1p-100f) & (size < 65504))))) return false;
  store_lanes(p->base, base);
  store_lanes(p->inverse, choose(zero, none, 1 / choose(zero, splat(1), d)));
  lanes_f16 half = __builtin_convertvector(d, lanes_f16), half_m = __builtin_convertvector(base, lanes_f16);
  memcpy(p->d, &half, sizeof half);
  memcpy(p->m, &half_m, sizeof half_m);
  return true;
}

/// 64 codes of two blocks.
INGOT_INLINE codes_u8 codes_of_blocks(
    ingot_ggml type, ingot_float format, const uint8_t *source, const block_parameters *p, size_t a, size_t b) {
  bool minima = type == INGOT_Q4_1 || type == INGOT_Q5_1;
  uint8_t most = type == INGOT_Q8_0 ? 255 : type == INGOT_Q4_0 || type == INGOT_Q4_1 ? 15 : 31;
  float offset = type == INGOT_Q4_0 ? 8.5f : type == INGOT_Q5_0 ? 16.5f : 0.5f;
  lanes_i32 steps[4];
  _Pragma("clang loop unroll(full)") for (int k = 0; k < 4; k++) {
    size_t i = k < 2 ? a : b, at = (32 * i + (size_t)(k % 2) * 16) * width_of(format);
    lanes_f32 w = stored_weights(format, source + at, splat(p->scale[i]));
    if (minima) w -= p->base[i];
    lanes_f32 scaled = w * p->inverse[i];
    if (type == INGOT_Q8_0) {
      // Halves away from 0: what is added is the float below 1/2.
      scaled += as_f32((as_bits(scaled) & 0x80000000) | 0x3EFFFFFF);
    } else {
      scaled += offset;
    }
    steps[k] = __builtin_convertvector(scaled, lanes_i32);
  }
  int16_t zero = type == INGOT_Q8_0 ? 128 : 0;
  return bytes_of_64(steps, zero, zero, most);
}

INGOT_INLINE uint32_t fifth_bits(const uint8_t *codes) {
#if defined(INGOT_X86)
  __m256i code = _mm256_loadu_si256((const __m256i *)codes);
  return (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(code, 3));
#else
  uint32_t word = 0;
  for (size_t l = 0; l < 32; l++) word |= (uint32_t)(codes[l] >> 4 & 1) << l;
  return word;
#endif
}

/// Two codes a byte as GGML has them: those of the lower half in the low nibbles.
INGOT_INLINE void put_nibbles(const uint8_t *codes, uint8_t *out) {
  typedef uint16_t words_u16 __attribute__((vector_size(16)));
  lanes_u8 low, high;
  memcpy(&low, codes, sizeof low);
  memcpy(&high, codes + 16, sizeof high);
  lanes_u8 both = (low & 15) | (lanes_u8)((words_u16)(high & 15) << 4);
  memcpy(out, &both, sizeof both);
}

INGOT_INLINE void put_block(ingot_ggml type, const uint8_t *codes, uint16_t d, uint16_t m, uint8_t *out) {
  memcpy(out, &d, 2);
  out += 2;
  if (type == INGOT_Q8_0) {
    half_codes all;
    memcpy(&all, codes, sizeof all);
    all ^= 0x80;
    memcpy(out, &all, sizeof all);
    return;
  }
  if (type == INGOT_Q4_1 || type == INGOT_Q5_1) {
    memcpy(out, &m, 2);
    out += 2;
  }
  if (type == INGOT_Q5_0 || type == INGOT_Q5_1) {
    uint32_t word = fifth_bits(codes);
    memcpy(out, &word, 4);
    out += 4;
  }
  put_nibbles(codes, out);
}

INGOT_INLINE const float *scales_of_row(const ingot_rows *source, size_t row) {
  if (!source->scales) return NULL;
  return source->scales +
         row / source->block_rows * ((source->columns + source->block_columns - 1) / source->block_columns);
}

INGOT_INLINE ingot_straight ggml_row(
    ingot_ggml type, ingot_float format, const ingot_rows *source, size_t row, uint8_t *out) {
  const float *scales = scales_of_row(source, row);
  const uint8_t *values = source->values + row * source->columns * width_of(format);
  size_t blocks = source->columns / 32, bytes = ggml_shape_of(type).bytes;
  for (size_t first = 0; first < blocks; first += 16) {
    size_t count = blocks - first < 16 ? blocks - first : 16;
    const uint8_t *from = values + first * 32 * width_of(format);
    lanes_f32 each = scales_of_groups(source, scales, first, count, 32);
    lane_extremes e = extremes_of_stored(format, from, 32, count, each);
    if (!extremes_are_finite(e)) return INGOT_NOT_FINITE;
    block_parameters p;
    if (!block_fits(type, format, from, count, e, &p)) return INGOT_NOT_PLAIN;
    store_lanes(p.scale, each * FP8_FACTOR);
    for (size_t i = 0; i < count; i += 2) {
      fetch_ahead(from + 32 * i * width_of(format), 64 * width_of(format));
      size_t next = i + 1 < count ? i + 1 : i;
      codes_u8 codes = codes_of_blocks(type, format, from, &p, i, next);
      uint8_t both[64];
      memcpy(both, &codes, sizeof codes);
      put_block(type, both, p.d[i], p.m[i], out + (first + i) * bytes);
      if (next > i) put_block(type, both + 32, p.d[next], p.m[next], out + (first + next) * bytes);
    }
  }
  return INGOT_DONE;
}

INGOT_INLINE ingot_straight ggml_row_of(
    ingot_ggml type, const ingot_rows *source, size_t row, uint8_t *out) {
  switch (source->format) {
    case INGOT_F16: return ggml_row(type, INGOT_F16, source, row, out);
    case INGOT_BF16: return ggml_row(type, INGOT_BF16, source, row, out);
    case INGOT_F8E4M3: return ggml_row(type, INGOT_F8E4M3, source, row, out);
    default: return INGOT_NOT_PLAIN;
  }
}

ingot_straight BODY(ingot_ggml_row)(ingot_ggml type, const ingot_rows *source, size_t row, uint8_t *out) {
  switch (type) {
    case INGOT_Q4_0: return ggml_row_of(INGOT_Q4_0, source, row, out);
    case INGOT_Q4_1: return ggml_row_of(INGOT_Q4_1, source, row, out);
    case INGOT_Q5_0: return ggml_row_of(INGOT_Q5_0, source, row, out);
    case INGOT_Q5_1: return ggml_row_of(INGOT_Q5_1, source, row, out);
    case INGOT_Q8_0: return ggml_row_of(INGOT_Q8_0, source, row, out);
    default: return INGOT_NOT_PLAIN;
  }
}

// ---- micro-scaled codes ------------------------------------------------------------------------------

INGOT_INLINE ingot_straight micro_row(
    ingot_float format, const ingot_rows *source, size_t row, uint8_t *codes, uint8_t *bytes, size_t group, bool wide,
    bool powers) {
  const float *scales = scales_of_row(source, row);
  size_t width = width_of(format), groups = source->columns / group;
  const uint8_t *values = source->values + row * source->columns * width;
  for (size_t first = 0; first < groups; first += 16) {
    size_t count = groups - first < 16 ? groups - first : 16;
    const uint8_t *from = values + first * group * width;
    lanes_f32 each = scales_of_groups(source, scales, first, count, group);
    lane_extremes e = extremes_of_stored(format, from, group, count, each);
    if (!extremes_are_finite(e)) return INGOT_NOT_FINITE;
    lanes_f32 extreme = higher(-e.low, e.high);
    if (any_lane((extreme != 0) & ((extreme < 0x1p-90f) | (extreme > 0x1p90f)))) return INGOT_NOT_PLAIN;
    lanes_i32 byte = micro_scale_bytes(magnitudes(extreme), wide, powers, 1);
    lanes_u8 narrow = __builtin_convertvector(byte, lanes_u8);
    memcpy(bytes + first, &narrow, count);
    float scale[16], step[16], inverse[16];
    lanes_f32 steps = powers ? as_f32((lanes_u32)byte << 23) : e4m3_values((lanes_u32)byte);
    lanes_i32 zero = steps == 0;
    steps = choose(zero, splat(1), steps);
    store_lanes(scale, each * FP8_FACTOR);
    store_lanes(step, steps);
    store_lanes(inverse, choose(zero, splat(0), 1 / steps));
    for (size_t at = 0; at < count * group; at += 64) {
      fetch_ahead(from + at * width, 64 * width);
      lanes_i32 all[4];
      _Pragma("clang loop unroll(full)") for (size_t k = 0; k < 4; k++) {
        size_t g = (at + 16 * k) / group;
        lanes_f32 w = stored_weights(format, from + (at + 16 * k) * width, splat(scale[g]));
        // Powers of two divide without rounding.
        lanes_f32 ratio = powers ? w * inverse[g] : quotient(w, splat(step[g]), splat(inverse[g]));
        if (wide) {
          all[k] = (lanes_i32)(e4m3_codes(magnitudes(ratio)) | as_bits(ratio) >> 31 << 7);
        } else {
          all[k] = e2m1_steps(ratio);
        }
      }
      put_codes(codes + first * group / (wide ? 1 : 2), at, bytes_of_64(all, 0, 0, 255), !wide);
    }
  }
  return INGOT_DONE;
}

INGOT_INLINE ingot_straight micro_row_of(
    ingot_float format, const ingot_micro_job *job, const ingot_rows *source, size_t row, uint8_t *codes,
    uint8_t *bytes) {
  if (job->wide) return micro_row(format, source, row, codes, bytes, 32, true, true);
  if (job->group == 16) return micro_row(format, source, row, codes, bytes, 16, false, false);
  return micro_row(format, source, row, codes, bytes, 32, false, true);
}

/// E2M1 in groups of 16 with E4M3 scales, or E2M1 or E4M3 in groups of 32 with powers of two.
ingot_straight BODY(ingot_micro_row)(
    const ingot_micro_job *job, const ingot_rows *source, size_t row, uint8_t *codes, uint8_t *bytes) {
  switch (source->format) {
    case INGOT_F16: return micro_row_of(INGOT_F16, job, source, row, codes, bytes);
    case INGOT_BF16: return micro_row_of(INGOT_BF16, job, source, row, codes, bytes);
    case INGOT_F8E4M3: return micro_row_of(INGOT_F8E4M3, job, source, row, codes, bytes);
    default: return INGOT_NOT_PLAIN;
  }
}

#endif
