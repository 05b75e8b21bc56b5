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

/// Sixteen codes as F32 that are 2^-120 of their values. The few that are subnormal there are exact too.
INGOT_INLINE __m512 fp8_lanes(const uint8_t *codes) {
  __m512i wide = _mm512_slli_epi32(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)codes)), 20);
  return _mm512_castsi512_ps(_mm512_and_si512(wide, _mm512_set1_epi32((int)0x87F00000)));
}

/// Asks for codes that come some groups later: a batch of groups is loaded at once, then computed on for long.
enum { FETCH_DISTANCE = 3072 };
INGOT_INLINE void fetch_ahead(const uint8_t *codes, size_t group) {
  for (size_t at = 0; at < group; at += 64) _mm_prefetch((const char *)codes + FETCH_DISTANCE + at, _MM_HINT_T0);
}

/// The greatest byte of each of sixteen registers, in their order.
INGOT_INLINE __m128i greatest_of_16(keys_i8 rows[16]) {
#define HIGHER(a, b) (__m512i) __builtin_elementwise_max((keys_i8)(a), (keys_i8)(b))
  __m512i x[16];
  for (int i = 0; i < 16; i++) x[i] = (__m512i)rows[i];
  // Every step folds two registers into one that holds both in halves, quarters, ...
  for (int i = 0; i < 8; i++)
    x[i] = HIGHER(_mm512_shuffle_i64x2(x[i], x[i + 8], 0x44), _mm512_shuffle_i64x2(x[i], x[i + 8], 0xEE));
  for (int i = 0; i < 4; i++)
    x[i] = HIGHER(_mm512_shuffle_i64x2(x[i], x[i + 4], 0x88), _mm512_shuffle_i64x2(x[i], x[i + 4], 0xDD));
  for (int i = 0; i < 2; i++)
    x[i] = HIGHER(_mm512_unpacklo_epi64(x[i], x[i + 2]), _mm512_unpackhi_epi64(x[i], x[i + 2]));
  __m512 c = _mm512_castsi512_ps(x[0]), d = _mm512_castsi512_ps(x[1]);
  x[0] = HIGHER(
      _mm512_castps_si512(_mm512_shuffle_ps(c, d, 0x88)), _mm512_castps_si512(_mm512_shuffle_ps(c, d, 0xDD)));
  x[0] = HIGHER(x[0], _mm512_srli_epi32(x[0], 16));
  x[0] = HIGHER(x[0], _mm512_srli_epi32(x[0], 8));
#undef HIGHER
  // Where the folds have put each register's byte.
  const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
  return _mm_shuffle_epi8(_mm512_cvtepi32_epi8(x[0]), order);
}

/// Least and greatest key of each of sixteen groups.
INGOT_INLINE void extremes_of_groups(const uint8_t *codes, size_t group, __m128i *low, __m128i *high) {
  keys_i8 turned[16], greatest[16];
  for (size_t i = 0; i < 16; i++, codes += group) {
    if (group == 32) {
      // Both sides in one register: the upper half turned round.
      __m256i code = _mm256_loadu_si256((const __m256i *)codes);
      __m256i key = _mm256_xor_si256(
          code, _mm256_maskz_mov_epi8(_mm256_movepi8_mask(code), _mm256_set1_epi8(0x7F)));
      greatest[i] = (keys_i8)_mm512_inserti64x4(_mm512_castsi256_si512(key), key, 1);
      turned[i] = ~greatest[i];
      continue;
    }
    keys_i8 key = fp8_keys(codes);
    greatest[i] = key;
    turned[i] = ~key;
    if (group == 128) {
      keys_i8 more = fp8_keys(codes + 64);
      greatest[i] = __builtin_elementwise_max(key, more);
      turned[i] = ~__builtin_elementwise_min(key, more);
    }
  }
  *high = greatest_of_16(greatest);
  *low = _mm_xor_si128(greatest_of_16(turned), _mm_set1_epi8(-1));
}

/// Values of keys times the scale of each one's block.
INGOT_INLINE lanes_f32 values_of_keys(__m128i keys, lanes_f32 scales) {
  uint8_t codes[16];
  __m128i turned = _mm_maskz_mov_epi8(_mm_movepi8_mask(keys), _mm_set1_epi8(0x7F));
  _mm_storeu_si128((__m128i *)codes, _mm_xor_si128(keys, turned));
  return decode_lanes(INGOT_F8E4M3, codes) * scales;
}

/// Sixteen weights as whole steps from the zero point, not clamped.
///
/// The quotient is that of a division, rounded once: with a divisor of at most 11 bits it lies further from any
/// midpoint between floats than the error that one step of correction leaves.
INGOT_INLINE __m512i steps_of(__m512 weight, const group_lanes *group) {
  __m512 near = _mm512_mul_ps(weight, group->inverse);
  __m512 rest = _mm512_fnmadd_ps(near, group->step, weight);
  return _mm512_cvtps_epi32(_mm512_fmadd_ps(rest, group->inverse, near));
}

/// 32 weights of one group as whole steps with the zero point added, as words in the order that packing gives.
INGOT_INLINE __m512i words_of_32(const uint8_t *source, const group_lanes *group, bool biased) {
  __m512 low = _mm512_mul_ps(fp8_lanes(source), group->scale);
  __m512 high = _mm512_mul_ps(fp8_lanes(source + 16), group->scale);
  if (biased) {
    low = _mm512_sub_ps(low, group->bias);
    high = _mm512_sub_ps(high, group->bias);
  }
  // The zero point stands in both words of its lane.
  return _mm512_add_epi16(_mm512_packs_epi32(steps_of(low, group), steps_of(high, group)), group->zero);
}

/// Undoes the order of two packings, which go by quarters of the registers.
INGOT_INLINE __m512i unpacked_order(__m512i packed) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, packed);
}

/// Codes of 64 weights; the halves may be of different groups.
INGOT_INLINE __m512i codes_of_64(
    const uint8_t *source, const group_lanes *a, const group_lanes *b, __m512i most, bool biased) {
  __m512i first = words_of_32(source, a, biased), second = words_of_32(source + 32, b, biased);
  __m512i codes = _mm512_min_epu8(_mm512_packus_epi16(first, second), most);
  return unpacked_order(codes);
}

/// Whole steps of the 64 greatest magnitudes up to a group's: what smaller ones have, 0, stands first.
///
/// Eight binades of eight: quotients of two are computed, those of the others are theirs divided by powers of two.
INGOT_INLINE __m512i table_of_group(const group_lanes *group, float top) {
  const __m512 mantissas = _mm512_setr_ps(4, 4.5f, 5, 5.5f, 6, 6.5f, 7, 7.5f, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512 weight = _mm512_mul_ps(mantissas, _mm512_set1_ps(top));
  __m512 near = _mm512_mul_ps(weight, group->inverse);
  __m512 rest = _mm512_fnmadd_ps(near, group->step, weight);
  __m512 d = _mm512_fmadd_ps(rest, group->inverse, near);
  __m512 c = _mm512_mul_ps(d, _mm512_set1_ps(0.25f)), b = _mm512_mul_ps(d, _mm512_set1_ps(0x1p-4f));
  __m512 a = _mm512_mul_ps(d, _mm512_set1_ps(0x1p-6f));
  __m512i low = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
  __m512i high = _mm512_packs_epi32(_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d));
  return unpacked_order(_mm512_packs_epi16(low, high));
}

/// Codes of 64 weights out of their group's table, whose first entry stands for magnitude `base`.
INGOT_INLINE __m512i looked_up(const uint8_t *source, __m512i table, __m512i base, __m512i zero, __m512i most) {
  __m512i code = _mm512_loadu_si512(source);
  __m512i place = _mm512_subs_epu8(_mm512_and_si512(code, _mm512_set1_epi8(0x7F)), base);
  __m512i steps = _mm512_permutexvar_epi8(place, table), above = _mm512_add_epi8(zero, steps);
  __m512i both = _mm512_mask_sub_epi8(above, _mm512_movepi8_mask(code), zero, steps);
  return _mm512_min_epi8(_mm512_max_epi8(both, _mm512_setzero_si512()), most);
}

/// Writes 64 codes: two a byte when they have 4 bits, else one.
INGOT_INLINE void put_codes(uint8_t *out, size_t at, __m512i codes, bool nibbles) {
  if (!nibbles) {
    _mm512_storeu_si512(out + at, codes);
    return;
  }
  __m512i pairs = _mm512_maddubs_epi16(codes, _mm512_set1_epi16(0x1001));
  _mm256_storeu_si256((__m256i *)(out + at / 2), _mm512_cvtepi16_epi8(pairs));
}

/// Sixteen groups of a row, or fewer, from group `first` on. False when there is a NaN.
INGOT_INLINE bool fp8_affine_groups(
    const ingot_rows *source, const ingot_quantize_job *job, const uint8_t *values, const float *scales,
    size_t first, size_t count, uint8_t *codes, uint8_t *scale_bytes, uint8_t *biases, uint8_t *zeros, size_t group,
    bool biased, bool nibbles) {
  __m512i most = _mm512_set1_epi8((char)((1u << job->bits) - 1));
  const uint8_t *from = values + first * group;
  __m128i low, high;
  uint8_t padded[16 * 128];
  float group_scales[16];
  if (count < 16) {
    memset(padded, 0, 16 * group);
    memcpy(padded, from, count * group);
    extremes_of_groups(padded, group, &low, &high);
  } else {
    extremes_of_groups(from, group, &low, &high);
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
  if (_mm_cmpeq_epi8_mask(low, _mm_set1_epi8(-128)) | _mm_cmpeq_epi8_mask(high, _mm_set1_epi8(127)))
    return false;
  lane_fits fits = round_to_nearest_fits(
      job->scheme, job->storage, job->bits, values_of_keys(low, each), values_of_keys(high, each));
  group_parameters p;
  store_lanes(p.scale, each * 0x1p120f);
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
  codes += first * group / (nibbles ? 2 : 1);
  if (!biased && group >= 64 && job->bits <= 6) {
    // The greatest magnitude's binade, and the scale with which mantissas of 8 to 15 are its values.
    __m512i magnitude = _mm512_cvtepi8_epi32(_mm_max_epi8(high, _mm_xor_si128(low, _mm_set1_epi8(-1))));
    __m512i binade = _mm512_srli_epi32(magnitude, 3);
    float tops[16];
    int32_t binades[16];
    _mm512_storeu_ps(tops, _mm512_scalef_ps((__m512)each, _mm512_cvtepi32_ps(_mm512_sub_epi32(binade, _mm512_set1_epi32(10)))));
    _mm512_storeu_si512(binades, binade);
    for (size_t g = 0; g < count; g++) {
      fetch_ahead(from + g * group, group);
      group_lanes lanes = lanes_of_group(&p, g);
      // Below the ninth binade the table would reach FP8's subnormals, which are spaced otherwise.
      bool wide = binades[g] > 7;
      __m512i table = table_of_group(&lanes, tops[g]);
      __m512i base = _mm512_set1_epi8((char)(8 * binades[g] - 56)), zero = _mm512_set1_epi8((char)p.zero[g]);
      for (size_t at = g * group; at < (g + 1) * group; at += 64) {
        __m512i code = wide ? looked_up(from + at, table, base, zero, most)
                            : codes_of_64(from + at, &lanes, &lanes, most, biased);
        put_codes(codes, at, code, nibbles);
      }
    }
    return true;
  }
  for (size_t g = 0; g < count; g += group < 64 ? 2 : 1) {
    fetch_ahead(from + g * group, group);
    group_lanes a = lanes_of_group(&p, g), b = group < 64 ? lanes_of_group(&p, g + 1) : a;
    for (size_t at = g * group; at < (group < 64 ? g + 2 : g + 1) * group; at += 64)
      put_codes(codes, at, codes_of_64(from + at, &a, &b, most, biased), nibbles);
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
      source, job, values, block_scales, first, count, codes, scales, biases, zeros, group, biased, nibbles)
#define EACH_GROUP(biased) \
  switch (job->group) { \
    case 32: GROUPS(32, biased); break; \
    case 64: GROUPS(64, biased); break; \
    default: GROUPS(128, biased); break; \
  }
    bool nibbles = job->bits == 4;
    if (job->scheme == INGOT_BIAS) {
      EACH_GROUP(true)
    } else {
      EACH_GROUP(false)
    }
#undef EACH_GROUP
#undef GROUPS
    if (!finite) return false;
  }
  return true;
}

#endif
#endif
