// Round to nearest from stored rows (FP8 with block scales, BF16, F16) to affine codes, without the values standing in
// memory: extremes of a group are found among its codes, parameters of sixteen groups come at once, codes 64 at a time.
#ifndef INGOT_VECTOR_AFFINE_ROWS_H
#define INGOT_VECTOR_AFFINE_ROWS_H

#include "affine_fits.h"
#include "stored_groups.h"

/// Parameters of sixteen groups as codes want them.
typedef struct {
  float scale[16], step[16], inverse[16], bias[16];
  int32_t zero[16];
} group_parameters;

/// Those of one group in every lane.
typedef struct {
  lanes_f32 scale, step, inverse, bias;
  int16_t zero;
} group_lanes;

INGOT_INLINE group_lanes lanes_of_group(const group_parameters *p, size_t g) {
  group_lanes lanes = {
      splat(p->scale[g]), splat(p->step[g]), splat(p->inverse[g]), splat(p->bias[g]), (int16_t)p->zero[g]};
  return lanes;
}

/// Codes of 64 weights; the halves may be of different groups.
INGOT_INLINE codes_u8 codes_of_64(
    ingot_float format, const uint8_t *source, const group_lanes *a, const group_lanes *b, uint8_t most, bool biased) {
  lanes_i32 steps[4];
  _Pragma("clang loop unroll(full)") for (int k = 0; k < 4; k++) {
    const group_lanes *group = k < 2 ? a : b;
    lanes_f32 w = stored_weights(format, source + (size_t)k * 16 * width_of(format), group->scale);
    if (biased) w -= group->bias;
    steps[k] = whole_steps(quotient(w, group->step, group->inverse));
  }
  return bytes_of_64(steps, a->zero, b->zero, most);
}

#if defined(INGOT_VBMI)
/// Whole steps of the 64 greatest magnitudes up to a group's: what smaller ones have, 0, stands first.
///
/// Eight binades of eight: quotients of two are computed, those of the others are theirs divided by powers of two.
INGOT_INLINE __m512i table_of_group(const group_lanes *group, float top) {
  const lanes_f32 mantissas = {4, 4.5f, 5, 5.5f, 6, 6.5f, 7, 7.5f, 8, 9, 10, 11, 12, 13, 14, 15};
  lanes_f32 d = quotient(mantissas * splat(top), group->step, group->inverse);
  lanes_i32 a = whole_steps(d * 0x1p-6f), b = whole_steps(d * 0x1p-4f), c = whole_steps(d * 0.25f);
  __m512i low = _mm512_packs_epi32((__m512i)a, (__m512i)b);
  __m512i high = _mm512_packs_epi32((__m512i)c, (__m512i)whole_steps(d));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
}

/// Codes of 64 weights out of their group's table, whose first entry stands for magnitude `base`.
INGOT_INLINE codes_u8 looked_up(const uint8_t *source, __m512i table, __m512i base, __m512i zero, __m512i most) {
  __m512i code = _mm512_loadu_si512(source);
  __m512i place = _mm512_subs_epu8(_mm512_and_si512(code, _mm512_set1_epi8(0x7F)), base);
  __m512i steps = _mm512_permutexvar_epi8(place, table), above = _mm512_add_epi8(zero, steps);
  __m512i both = _mm512_mask_sub_epi8(above, _mm512_movepi8_mask(code), zero, steps);
  return (codes_u8)_mm512_min_epi8(_mm512_max_epi8(both, _mm512_setzero_si512()), most);
}

/// Codes of groups of 64 or more, of at most 6 bits and without bias: looked up where a table holds what is not 0.
INGOT_INLINE void codes_by_lookup(
    const group_parameters *p, lane_extremes e, lanes_f32 scales, const uint8_t *from, size_t count, size_t group,
    uint8_t most, uint8_t *codes, bool nibbles) {
  // The greatest magnitude's binade, and the scale with which mantissas of 8 to 15 are its values.
  lanes_f32 magnitude = higher(-e.low, e.high) / scales;
  lanes_i32 exponent = (lanes_i32)(as_bits(magnitude) >> 23) - 127;
  float tops[16];
  int32_t binades[16];
  lanes_f32 top = (lanes_f32)_mm512_scalef_ps((__m512)scales, _mm512_cvtepi32_ps((__m512i)(exponent - 3)));
  lanes_i32 binade = exponent + 7;
  store_lanes(tops, top);
  memcpy(binades, &binade, sizeof binade);
  for (size_t g = 0; g < count; g++) {
    fetch_ahead(from + g * group, group);
    group_lanes lanes = lanes_of_group(p, g);
    // Below the ninth binade the table would reach FP8's subnormals, which are spaced otherwise.
    bool wide = binades[g] > 7;
    __m512i table = table_of_group(&lanes, tops[g]);
    __m512i base = _mm512_set1_epi8((char)(8 * binades[g] - 56)), zero = _mm512_set1_epi8((char)lanes.zero);
    for (size_t at = g * group; at < (g + 1) * group; at += 64) {
      codes_u8 code = wide ? looked_up(from + at, table, base, zero, _mm512_set1_epi8((char)most))
                           : codes_of_64(INGOT_F8E4M3, from + at, &lanes, &lanes, most, false);
      put_codes(codes, at, code, nibbles);
    }
  }
}
#endif

/// The first `count` of sixteen floats that are BF16 or F16 already.
INGOT_INLINE void write_stored(ingot_float storage, lanes_f32 values, uint8_t *out, size_t count) {
  lanes_u16 codes;
  if (storage == INGOT_F16) {
    codes = (lanes_u16)__builtin_convertvector(values, lanes_f16);
  } else {
    codes = __builtin_convertvector(as_bits(values) >> 16, lanes_u16);
  }
  if (count == 16) {
    memcpy(out, &codes, sizeof codes);
  } else {
    memcpy(out, &codes, 2 * count);
  }
}

/// Sixteen groups of a row, or fewer, from group `first` on.
INGOT_INLINE ingot_straight affine_groups(
    ingot_float format, const ingot_rows *source, const ingot_quantize_job *job, const uint8_t *values,
    const float *scales, size_t first, size_t count, const ingot_affine_planes *out, size_t group, bool biased,
    bool nibbles) {
  uint8_t most = (uint8_t)((1u << job->bits) - 1);
  size_t width = width_of(format);
  const uint8_t *from = values + first * group * width;
  lanes_f32 each = scales_of_groups(source, scales, first, count, group);
  lane_extremes e = extremes_of_stored(format, from, group, count, each);
  if (!extremes_are_finite(e)) return INGOT_NOT_FINITE;
  lane_fits fits = round_to_nearest_fits(job->scheme, job->storage, job->bits, e.low, e.high);
  // Beyond this quotients are not what `quotient` and `bytes_of_64` want.
  lanes_f32 size = higher(-e.low, e.high) + magnitudes(fits.bias);
  lanes_i32 constant = fits.step == 0;
  lanes_i32 plain = constant | ((fits.step > 0x1p-100f) & (fits.step < 0x1p100f) & (size < fits.step * 0x1p14f));
  if (any_lane(~plain)) return INGOT_NOT_PLAIN;
  group_parameters p;
  lanes_f32 step = choose(constant, splat(1), fits.step);
  store_lanes(p.scale, each * FP8_FACTOR);
  store_lanes(p.step, step);
  store_lanes(p.inverse, choose(constant, splat(0), 1 / step));
  store_lanes(p.bias, fits.bias);
  lanes_i32 zero = __builtin_convertvector(fits.zero, lanes_i32);
  memcpy(p.zero, &zero, sizeof zero);
  write_stored(job->storage, fits.step, out->scales + 2 * first, count);
  if (job->scheme == INGOT_BIAS) write_stored(job->storage, fits.bias, out->biases + 2 * first, count);
  if (job->scheme == INGOT_ZERO_POINT) {
    lanes_u8 zeros = __builtin_convertvector(zero, lanes_u8);
    memcpy(out->zeros + first, &zeros, count);
  }
  uint8_t *codes = out->codes + first * group / (nibbles ? 2 : 1);
#if defined(INGOT_VBMI)
  if (format == INGOT_F8E4M3 && !biased && group >= 64 && job->bits <= 6) {
    codes_by_lookup(&p, e, each, from, count, group, most, codes, nibbles);
    return INGOT_DONE;
  }
#endif
  for (size_t g = 0; g < count; g += group < 64 ? 2 : 1) {
    fetch_ahead(from + g * group * width, group * width);
    group_lanes a = lanes_of_group(&p, g), b = group < 64 ? lanes_of_group(&p, g + 1) : a;
    for (size_t at = g * group; at < (group < 64 ? g + 2 : g + 1) * group; at += 64)
      put_codes(codes, at, codes_of_64(format, from + at * width, &a, &b, most, biased), nibbles);
  }
  return INGOT_DONE;
}

INGOT_INLINE ingot_straight affine_row(
    ingot_float format, const ingot_rows *source, const ingot_quantize_job *job, size_t row,
    const ingot_affine_planes *out) {
  const float *scales = NULL;
  if (format == INGOT_F8E4M3) {
    size_t blocks = (source->columns + source->block_columns - 1) / source->block_columns;
    scales = source->scales + row / source->block_rows * blocks;
  }
  const uint8_t *values = source->values + row * source->columns * width_of(format);
  size_t groups = source->columns / job->group;
  bool nibbles = job->bits == 4, biased = job->scheme == INGOT_BIAS;
  for (size_t first = 0; first < groups; first += 16) {
    size_t count = groups - first < 16 ? groups - first : 16;
    ingot_straight result;
#define GROUPS(group, biased) \
  result = affine_groups(format, source, job, values, scales, first, count, out, group, biased, nibbles)
#define EACH_GROUP(biased) \
  switch (job->group) { \
    case 32: GROUPS(32, biased); break; \
    case 64: GROUPS(64, biased); break; \
    default: GROUPS(128, biased); break; \
  }
    if (biased) {
      EACH_GROUP(true)
    } else {
      EACH_GROUP(false)
    }
#undef EACH_GROUP
#undef GROUPS
    if (result != INGOT_DONE) return result;
  }
  return INGOT_DONE;
}

ingot_straight BODY(ingot_affine_row)(
    const ingot_rows *source, const ingot_quantize_job *job, size_t row, const ingot_affine_planes *out) {
  switch (source->format) {
    case INGOT_F16: return affine_row(INGOT_F16, source, job, row, out);
    case INGOT_BF16: return affine_row(INGOT_BF16, source, job, row, out);
    case INGOT_F8E4M3: return affine_row(INGOT_F8E4M3, source, job, row, out);
    default: return INGOT_NOT_PLAIN;
  }
}

#endif
