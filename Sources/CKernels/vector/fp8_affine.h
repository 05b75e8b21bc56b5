// Round to nearest from FP8 with block scales to affine codes, without the values standing in memory: extremes of a
// group are found among its FP8 codes, parameters of sixteen groups come at once, codes 64 at a time.
#ifndef INGOT_VECTOR_FP8_AFFINE_H
#define INGOT_VECTOR_FP8_AFFINE_H

#include "affine_fits.h"
#include "floats.h"

#if defined(INGOT_VBMI)

typedef int8_t keys_i8 __attribute__((vector_size(64)));
typedef int8_t half_keys __attribute__((vector_size(32)));

/// Parameters of sixteen groups as codes want them.
typedef struct {
  float scale[16], step[16], inverse[16], bias[16];
  int32_t zero[16];
} group_parameters;

/// Those of one group in every lane.
typedef struct {
  __m512 scale, step, inverse, bias;
  __m512i zero;
} group_lanes;

INGOT_INLINE group_lanes lanes_of_group(const group_parameters *p, size_t g) {
  group_lanes lanes = {
      _mm512_set1_ps(p->scale[g]), _mm512_set1_ps(p->step[g]), _mm512_set1_ps(p->inverse[g]),
      _mm512_set1_ps(p->bias[g]), _mm512_set1_epi32(p->zero[g])};
  return lanes;
}

/// FP8 codes as bytes whose order is that of their values; NaN become 127 and -128.
INGOT_INLINE keys_i8 fp8_keys(const uint8_t *codes) {
  __m512i code = _mm512_loadu_si512(codes);
  __m512i turned = _mm512_maskz_mov_epi8(_mm512_movepi8_mask(code), _mm512_set1_epi8(0x7F));
  return (keys_i8)_mm512_xor_si512(code, turned);
}

/// 32 codes as binary16 numbers that are 2^-8 of their values, subnormals too.
INGOT_INLINE __m512i fp8_halves(const uint8_t *codes) {
  __m512i wide = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)codes));
  return _mm512_and_si512(_mm512_slli_epi16(wide, 7), _mm512_set1_epi16((short)0xBFFF));
}

/// Least and greatest key of each of sixteen groups.
INGOT_INLINE void extremes_of_groups(const uint8_t *codes, size_t group, int8_t low[16], int8_t high[16]) {
  for (size_t i = 0; i < 16; i++, codes += group) {
    if (group == 32) {
      half_keys code;
      memcpy(&code, codes, 32);
      half_keys key = code ^ ((code >> 7) & 0x7F);
      low[i] = __builtin_reduce_min(key);
      high[i] = __builtin_reduce_max(key);
      continue;
    }
    keys_i8 least = fp8_keys(codes), greatest = least;
    if (group == 128) {
      keys_i8 more = fp8_keys(codes + 64);
      least = __builtin_elementwise_min(least, more);
      greatest = __builtin_elementwise_max(greatest, more);
    }
    low[i] = __builtin_reduce_min(least);
    high[i] = __builtin_reduce_max(greatest);
  }
}

/// Values of keys times the scale of each one's block.
INGOT_INLINE lanes_f32 values_of_keys(const int8_t keys[16], lanes_f32 scales) {
  uint8_t codes[16];
  for (size_t i = 0; i < 16; i++) codes[i] = (uint8_t)(keys[i] ^ (keys[i] < 0 ? 0x7F : 0));
  return decode_lanes(INGOT_F8E4M3, codes) * scales;
}

/// Sixteen weights as whole steps from the zero point, not clamped.
///
/// The quotient is that of a division, rounded once: with a divisor of at most 11 bits it lies further from any
/// midpoint between floats than the error that one step of correction leaves.
INGOT_INLINE __m512i steps_of(__m256i halves, const group_lanes *group, bool biased) {
  __m512 weight = _mm512_mul_ps(_mm512_cvtph_ps(halves), group->scale);
  if (biased) weight = _mm512_sub_ps(weight, group->bias);
  __m512 near = _mm512_mul_ps(weight, group->inverse);
  __m512 rest = _mm512_fnmadd_ps(near, group->step, weight);
  return _mm512_cvtps_epi32(_mm512_fmadd_ps(rest, group->inverse, near));
}

/// 32 weights of one group as whole steps with the zero point added, as words in the order that packing gives.
INGOT_INLINE __m512i words_of_32(const uint8_t *source, const group_lanes *group, bool biased) {
  __m512i halves = fp8_halves(source);
  __m512i low = steps_of(_mm512_castsi512_si256(halves), group, biased);
  __m512i high = steps_of(_mm512_extracti64x4_epi64(halves, 1), group, biased);
  // The zero point stands in both words of its lane.
  return _mm512_add_epi16(_mm512_packs_epi32(low, high), group->zero);
}

/// Codes of 64 weights; the halves may be of different groups.
INGOT_INLINE __m512i codes_of_64(
    const uint8_t *source, const group_lanes *a, const group_lanes *b, __m512i most, bool biased) {
  __m512i first = words_of_32(source, a, biased), second = words_of_32(source + 32, b, biased);
  __m512i codes = _mm512_min_epu8(_mm512_packus_epi16(first, second), most);
  // Packing goes by quarters of the registers.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, codes);
}

/// Sixteen groups of a row, or fewer, from group `first` on. False when there is a NaN.
INGOT_INLINE bool fp8_affine_groups(
    const ingot_rows *source, const ingot_quantize_job *job, const uint8_t *values, const float *scales,
    size_t first, size_t count, uint8_t *codes, uint8_t *scale_bytes, uint8_t *biases, uint8_t *zeros, size_t group,
    bool biased) {
  __m512i most = _mm512_set1_epi8((char)((1u << job->bits) - 1));
  const uint8_t *from = values + first * group;
  int8_t low[16], high[16];
  uint8_t padded[16 * 128];
  float group_scales[16];
  if (count < 16) {
    memset(padded, 0, 16 * group);
    memcpy(padded, from, count * group);
    extremes_of_groups(padded, group, low, high);
  } else {
    extremes_of_groups(from, group, low, high);
  }
  size_t block = first * group / source->block_columns, end = (block + 1) * source->block_columns;
  for (size_t i = 0, at = first * group; i < 16; i++) {
    group_scales[i] = scales[block];
    at += group;
    if (at >= end && i + 1 < count) {
      block++;
      end += source->block_columns;
    }
  }
  lanes_f32 each = load_lanes(group_scales);
  __m128i lows = _mm_loadu_si128((const __m128i *)low), highs = _mm_loadu_si128((const __m128i *)high);
  if (_mm_cmpeq_epi8_mask(lows, _mm_set1_epi8(-128)) | _mm_cmpeq_epi8_mask(highs, _mm_set1_epi8(127)))
    return false;
  lane_fits fits = round_to_nearest_fits(
      job->scheme, job->storage, job->bits, values_of_keys(low, each), values_of_keys(high, each));
  group_parameters p;
  store_lanes(p.scale, each * 0x1p8f);
  lanes_i32 constant = fits.step == 0;
  store_lanes(p.step, choose(constant, splat(1), fits.step));
  store_lanes(p.inverse, choose(constant, splat(0), 1 / choose(constant, splat(1), fits.step)));
  store_lanes(p.bias, fits.bias);
  lanes_i32 zero = __builtin_convertvector(fits.zero, lanes_i32);
  _mm512_storeu_si512(p.zero, (__m512i)(zero | zero << 16));
  __mmask16 these = (__mmask16)((1u << count) - 1);
  lanes_u32 steps = as_bits(fits.step), offsets = as_bits(fits.bias);
  __m256i step_codes, bias_codes;
  if (job->storage == INGOT_F16) {
    step_codes = _mm512_cvtps_ph((__m512)fits.step, 0);
    bias_codes = _mm512_cvtps_ph((__m512)fits.bias, 0);
  } else {
    step_codes = _mm512_cvtepi32_epi16((__m512i)(steps >> 16));
    bias_codes = _mm512_cvtepi32_epi16((__m512i)(offsets >> 16));
  }
  _mm256_mask_storeu_epi16(scale_bytes + 2 * first, these, step_codes);
  if (job->scheme == INGOT_BIAS) _mm256_mask_storeu_epi16(biases + 2 * first, these, bias_codes);
  if (job->scheme == INGOT_ZERO_POINT)
    _mm_mask_storeu_epi8(zeros + first, these, _mm512_cvtepi32_epi8((__m512i)zero));
  codes += first * group;
  for (size_t g = 0; g < count; g += group < 64 ? 2 : 1) {
    group_lanes a = lanes_of_group(&p, g), b = group < 64 ? lanes_of_group(&p, g + 1) : a;
    for (size_t at = g * group; at < (group < 64 ? g + 2 : g + 1) * group; at += 64)
      _mm512_storeu_si512(codes + at, codes_of_64(from + at, &a, &b, most, biased));
  }
  return true;
}

bool BODY(ingot_fp8_affine)(
    const ingot_rows *source, const ingot_quantize_job *job, size_t row, uint8_t *codes, uint8_t *scales,
    uint8_t *biases, uint8_t *zeros) {
  size_t blocks = (source->columns + source->block_columns - 1) / source->block_columns;
  const float *block_scales = source->scales + row / source->block_rows * blocks;
  const uint8_t *values = source->values + row * source->columns;
  size_t groups = source->columns / job->group;
  for (size_t first = 0; first < groups; first += 16) {
    size_t count = groups - first < 16 ? groups - first : 16;
    bool finite;
#define GROUPS(group, biased) \
  finite = fp8_affine_groups( \
      source, job, values, block_scales, first, count, codes, scales, biases, zeros, group, biased)
    bool biased = job->scheme == INGOT_BIAS;
    switch (job->group) {
      case 32: if (biased) GROUPS(32, true); else GROUPS(32, false); break;
      case 64: if (biased) GROUPS(64, true); else GROUPS(64, false); break;
      default: if (biased) GROUPS(128, true); else GROUPS(128, false); break;
    }
#undef GROUPS
    if (!finite) return false;
  }
  return true;
}

#endif
#endif
