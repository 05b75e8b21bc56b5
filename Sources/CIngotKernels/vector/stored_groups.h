// Sixteen groups of weights as they are stored: values, extremes found among the codes, and new codes put together.
#ifndef INGOT_VECTOR_STORED_GROUPS_H
#define INGOT_VECTOR_STORED_GROUPS_H

#include "floats.h"

typedef int8_t bytes_i8 __attribute__((vector_size(16)));
typedef int16_t words_i16 __attribute__((vector_size(16)));
typedef int8_t wide_bytes __attribute__((vector_size(32)));
typedef int16_t wide_words __attribute__((vector_size(32)));
typedef uint8_t codes_u8 __attribute__((vector_size(64)));
typedef uint8_t half_codes __attribute__((vector_size(32)));

/// What FP8 lanes are to be multiplied with, beside the block's scale.
#if defined(INGOT_VBMI)
#define FP8_FACTOR 0x1p120f
#else
#define FP8_FACTOR 0x1p8f
#endif

/// Sixteen finite weights; `scale` is FP8_FACTOR times the block's, for other formats nothing.
INGOT_INLINE lanes_f32 stored_weights(ingot_float format, const uint8_t *source, lanes_f32 scale) {
  if (format != INGOT_F8E4M3) return decode_lanes(format, source);
  bytes_i8 code;
  memcpy(&code, source, sizeof code);
#if defined(INGOT_VBMI)
  // F32 that are 2^-120 of their values. The few that are subnormal there are exact too.
  lanes_u32 wide = (lanes_u32)__builtin_convertvector(code, lanes_i32) << 20 & 0x87F00000;
  return as_f32(wide) * scale;
#else
  // As `decode_lanes` does it, without NaN.
  lanes_u16 wide = (lanes_u16)__builtin_convertvector(code, wide_words) << 7 & 0xBF80;
  return __builtin_convertvector((lanes_f16)wide, lanes_f32) * scale;
#endif
}

// ---- extremes ----------------------------------------------------------------------------------------

#define GREATER(a, b) __builtin_elementwise_max(a, b)
#define SMALLER(a, b) __builtin_elementwise_min(a, b)

/// Pieces of `width` bytes of two registers in turn: of their lower halves, and of their upper ones.
INGOT_INLINE bytes_i8 lower_in_turn(bytes_i8 a, bytes_i8 b, int width) {
  switch (width) {
    case 1: return SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    case 2: return SHUFFLE(a, b, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
    case 4: return SHUFFLE(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    default: return SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  }
}
INGOT_INLINE bytes_i8 upper_in_turn(bytes_i8 a, bytes_i8 b, int width) {
  switch (width) {
    case 1: return SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    case 2: return SHUFFLE(a, b, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
    case 4: return SHUFFLE(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    default: return SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
}

/// The greatest byte of each of sixteen registers, in their order: every step folds two registers into one.
INGOT_INLINE bytes_i8 greatest_bytes(bytes_i8 x[16]) {
#define FOLD(width, count) \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < (count); i++) x[i] = \
      GREATER(lower_in_turn(x[2 * i], x[2 * i + 1], width), upper_in_turn(x[2 * i], x[2 * i + 1], width));
  FOLD(1, 8)
  FOLD(2, 4)
  FOLD(4, 2)
  FOLD(8, 1)
#undef FOLD
  return x[0];
}

/// The greatest word of each of eight registers.
INGOT_INLINE words_i16 greatest_words(words_i16 x[8]) {
#define FOLD(width, count) \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < (count); i++) x[i] = \
      GREATER((words_i16)lower_in_turn((bytes_i8)x[2 * i], (bytes_i8)x[2 * i + 1], width), \
              (words_i16)upper_in_turn((bytes_i8)x[2 * i], (bytes_i8)x[2 * i + 1], width));
  FOLD(2, 4)
  FOLD(4, 2)
  FOLD(8, 1)
#undef FOLD
  return x[0];
}

INGOT_INLINE bytes_i8 greatest_half(wide_bytes x) {
  return GREATER(SHUFFLE(x, x, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                 SHUFFLE(x, x, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31));
}

INGOT_INLINE words_i16 greatest_word_half(wide_words x) {
  return GREATER(SHUFFLE(x, x, 0, 1, 2, 3, 4, 5, 6, 7), SHUFFLE(x, x, 8, 9, 10, 11, 12, 13, 14, 15));
}

/// Extremes of sixteen groups; where the least is 0 it is -0 if any weight is.
typedef struct {
  lanes_f32 low, high;
} lane_extremes;

/// Of groups of `group` codes, of which the first `count` are there. FP8 codes are multiplied with `scales`.
///
/// Codes, those with a sign turned round, are integers in the order of their values, NaN beyond both ends.
INGOT_INLINE lane_extremes extremes_of_stored(
    ingot_float format, const uint8_t *codes, size_t group, size_t count, lanes_f32 scales) {
  lane_extremes e;
  if (format == INGOT_F8E4M3) {
    bytes_i8 turned[16], greatest[16];
    for (size_t i = 0; i < 16; i++) {
      const uint8_t *from = codes + (i < count ? i : count - 1) * group;
      if (group == 16) {
        bytes_i8 key;
        memcpy(&key, from, sizeof key);
        key ^= (key < 0) & 0x7F;
        greatest[i] = key;
        turned[i] = ~key;
        continue;
      }
      wide_bytes high, low;
      for (size_t j = 0; j < group; j += 32) {
        wide_bytes key;
        memcpy(&key, from + j, sizeof key);
        key ^= (key < 0) & 0x7F;
        high = j > 0 ? GREATER(high, key) : key;
        low = j > 0 ? SMALLER(low, key) : key;
      }
      greatest[i] = greatest_half(high);
      turned[i] = greatest_half(~low);
    }
    bytes_i8 high = greatest_bytes(greatest), low = ~greatest_bytes(turned);
    high ^= (high < 0) & 0x7F;
    low ^= (low < 0) & 0x7F;
    uint8_t bytes[32];
    memcpy(bytes, &low, sizeof low);
    memcpy(bytes + 16, &high, sizeof high);
    e.low = decode_lanes(format, bytes) * scales;
    e.high = decode_lanes(format, bytes + 16) * scales;
    return e;
  }
  uint8_t bytes[64];
  for (size_t half = 0; half < 2; half++) {
    words_i16 turned[8], greatest[8];
    for (size_t i = 0; i < 8; i++) {
      size_t place = 8 * half + i;
      const uint8_t *from = codes + (place < count ? place : count - 1) * group * 2;
      wide_words high, low;
      for (size_t j = 0; j < group; j += 16) {
        wide_words key;
        memcpy(&key, from + 2 * j, sizeof key);
        key ^= key >> 15 & 0x7FFF;
        high = j > 0 ? GREATER(high, key) : key;
        low = j > 0 ? SMALLER(low, key) : key;
      }
      greatest[i] = greatest_word_half(high);
      turned[i] = greatest_word_half(~low);
    }
    words_i16 high = greatest_words(greatest), low = ~greatest_words(turned);
    high ^= high >> 15 & 0x7FFF;
    low ^= low >> 15 & 0x7FFF;
    memcpy(bytes + 16 * half, &low, sizeof low);
    memcpy(bytes + 32 + 16 * half, &high, sizeof high);
  }
  e.low = decode_lanes(format, bytes);
  e.high = decode_lanes(format, bytes + 32);
  return e;
}

INGOT_INLINE bool any_lane(lanes_i32 mask) { return __builtin_reduce_or(mask) != 0; }

INGOT_INLINE bool extremes_are_finite(lane_extremes e) {
  lanes_u32 all = 0x7F800000 - (lanes_u32){0};
  return !any_lane(((as_bits(e.low) & all) == all) | ((as_bits(e.high) & all) == all));
}

/// The scale of the block in which each of sixteen groups lies; ones when there are none.
INGOT_INLINE lanes_f32 scales_of_groups(
    const ingot_rows *source, const float *scales, size_t first, size_t count, size_t group) {
  if (!source->scales) return splat(1);
  size_t block = first * group / source->block_columns, end = (block + 1) * source->block_columns;
  float each[16];
  for (size_t i = 0, at = first * group; i < 16; i++) {
    each[i] = scales[block];
    at += group;
    if (at >= end && i + 1 < count) {
      block++;
      end += source->block_columns;
    }
  }
  return load_lanes(each);
}

/// Asks for codes that come some groups later: a batch of groups is loaded at once, then computed on for long.
enum { FETCH_DISTANCE = 3072 };
INGOT_INLINE void fetch_ahead(const uint8_t *codes, size_t bytes) {
  for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(codes + FETCH_DISTANCE + at);
}

// ---- codes -------------------------------------------------------------------------------------------

INGOT_INLINE lanes_f32 multiply_add(lanes_f32 a, lanes_f32 b, lanes_f32 c) {
  return __builtin_elementwise_fma(a, b, c);
}

/// w / step as a division rounds it, when `step` has at most 11 bits: then the quotient lies further from any midpoint
/// between floats than the error that one step of correction leaves.
INGOT_INLINE lanes_f32 quotient(lanes_f32 w, lanes_f32 step, lanes_f32 inverse) {
  lanes_f32 near = w * inverse;
  return multiply_add(multiply_add(-near, step, w), inverse, near);
}

/// The nearest integers, ties to even.
INGOT_INLINE lanes_i32 whole_steps(lanes_f32 x) {
#if defined(INGOT_VBMI)
  return (lanes_i32)_mm512_cvtps_epi32((__m512)x);
#elif defined(INGOT_X86)
  lanes_i32 whole;
  __m256 parts[2];
  memcpy(parts, &x, sizeof x);
  __m256i each[2] = {_mm256_cvtps_epi32(parts[0]), _mm256_cvtps_epi32(parts[1])};
  memcpy(&whole, each, sizeof whole);
  return whole;
#else
  return __builtin_convertvector(round_even_lanes(x), lanes_i32);
#endif
}

/// 64 integers of at most 2^14 as bytes: zero points (less than 2^14) added, the first to the first half, then clamped
/// to 0…most.
INGOT_INLINE codes_u8 bytes_of_64(const lanes_i32 steps[4], int16_t zero_a, int16_t zero_b, uint8_t most) {
#if defined(INGOT_VBMI)
  // Packings go by quarters of the registers.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512i a = _mm512_packs_epi32((__m512i)steps[0], (__m512i)steps[1]);
  __m512i b = _mm512_packs_epi32((__m512i)steps[2], (__m512i)steps[3]);
  a = _mm512_add_epi16(a, _mm512_set1_epi16(zero_a));
  b = _mm512_add_epi16(b, _mm512_set1_epi16(zero_b));
  __m512i codes = _mm512_min_epu8(_mm512_packus_epi16(a, b), _mm512_set1_epi8((char)most));
  return (codes_u8)_mm512_permutexvar_epi32(order, codes);
#elif defined(INGOT_X86)
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  __m256i parts[8], halves[2];
  memcpy(parts, steps, sizeof parts);
  for (int half = 0; half < 2; half++) {
    __m256i zero = _mm256_set1_epi16(half == 0 ? zero_a : zero_b);
    __m256i a = _mm256_packs_epi32(parts[4 * half], parts[4 * half + 1]);
    __m256i b = _mm256_packs_epi32(parts[4 * half + 2], parts[4 * half + 3]);
    __m256i codes = _mm256_packus_epi16(_mm256_add_epi16(a, zero), _mm256_add_epi16(b, zero));
    codes = _mm256_min_epu8(codes, _mm256_set1_epi8((char)most));
    halves[half] = _mm256_permutevar8x32_epi32(codes, order);
  }
  codes_u8 codes;
  memcpy(&codes, halves, sizeof codes);
  return codes;
#else
  uint8_t bytes[64];
  for (int k = 0; k < 4; k++) {
    wide_words words = __builtin_convertvector(steps[k], wide_words) + (int16_t)(k < 2 ? zero_a : zero_b);
    wide_words top = (wide_words){0} + (int16_t)most;
    words = SMALLER(GREATER(words, (wide_words){0}), top);
    lanes_u8 narrow = __builtin_convertvector(words, lanes_u8);
    memcpy(bytes + 16 * k, &narrow, sizeof narrow);
  }
  codes_u8 codes;
  memcpy(&codes, bytes, sizeof codes);
  return codes;
#endif
}

/// Writes 64 codes: two a byte when they have 4 bits, else one.
INGOT_INLINE void put_codes(uint8_t *out, size_t at, codes_u8 codes, bool nibbles) {
  if (!nibbles) {
    memcpy(out + at, &codes, sizeof codes);
    return;
  }
  // Each word's codes are side by side once the upper one is shifted down.
#if defined(INGOT_VBMI)
  __m512i words = _mm512_maddubs_epi16((__m512i)codes, _mm512_set1_epi16(0x1001));
  _mm256_storeu_si256((__m256i *)(out + at / 2), _mm512_cvtepi16_epi8(words));
#elif defined(INGOT_X86)
  __m256i halves[2];
  memcpy(halves, &codes, sizeof codes);
  __m256i a = _mm256_maddubs_epi16(halves[0], _mm256_set1_epi16(0x1001));
  __m256i b = _mm256_maddubs_epi16(halves[1], _mm256_set1_epi16(0x1001));
  __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xD8);
  _mm256_storeu_si256((__m256i *)(out + at / 2), both);
#else
  typedef uint16_t pairs_u16 __attribute__((vector_size(64)));
  pairs_u16 words = (pairs_u16)codes;
  half_codes both = __builtin_convertvector(words | words >> 4, half_codes);
  memcpy(out + at / 2, &both, sizeof both);
#endif
}

#endif
