// Sixteen lanes of F32 and what goes with them. Every instruction set cuts them into its own registers;
// lane for lane the arithmetic is that of the scalar reference.
#ifndef INGOT_VECTOR_LANES_H
#define INGOT_VECTOR_LANES_H

#include "../floats.h"

typedef float lanes_f32 __attribute__((vector_size(64)));
typedef int32_t lanes_i32 __attribute__((vector_size(64)));
typedef uint32_t lanes_u32 __attribute__((vector_size(64)));
typedef _Float16 lanes_f16 __attribute__((vector_size(32)));
typedef uint16_t lanes_u16 __attribute__((vector_size(32)));
typedef uint8_t lanes_u8 __attribute__((vector_size(16)));
typedef double lanes_f64 __attribute__((vector_size(128)));
typedef uint64_t words_u64 __attribute__((vector_size(64)));

#define BODY_(name, suffix) name##_##suffix
#define BODY__(name, suffix) BODY_(name, suffix)
/// The body of a kernel for the instruction set being compiled.
#define BODY(name) BODY__(name, INGOT_SUFFIX)

INGOT_INLINE lanes_f32 splat(float value) {
  return (lanes_f32){value, value, value, value, value, value, value, value,
                     value, value, value, value, value, value, value, value};
}

INGOT_INLINE lanes_f32 load_lanes(const float *source) {
  lanes_f32 value;
  memcpy(&value, source, sizeof value);
  return value;
}

INGOT_INLINE void store_lanes(float *out, lanes_f32 value) { memcpy(out, &value, sizeof value); }

/// `count` values, and `fill` in the other lanes.
INGOT_INLINE lanes_f32 load_part(const float *source, size_t count, float fill) {
  float part[16];
  for (size_t i = 0; i < 16; i++) part[i] = i < count ? source[i] : fill;
  return load_lanes(part);
}

INGOT_INLINE lanes_f32 as_f32(lanes_u32 bits) { return (lanes_f32)bits; }
INGOT_INLINE lanes_u32 as_bits(lanes_f32 value) { return (lanes_u32)value; }

/// `yes` where the mask is set. With a comparison as mask, the scalar `a < b ? yes : no`.
INGOT_INLINE lanes_f32 choose(lanes_i32 mask, lanes_f32 yes, lanes_f32 no) {
  return (lanes_f32)((mask & (lanes_i32)yes) | (~mask & (lanes_i32)no));
}

INGOT_INLINE lanes_f32 magnitudes(lanes_f32 x) { return as_f32(as_bits(x) & 0x7FFFFFFF); }

INGOT_INLINE lanes_f32 lower(lanes_f32 a, lanes_f32 b) { return choose(a < b, a, b); }
INGOT_INLINE lanes_f32 higher(lanes_f32 a, lanes_f32 b) { return choose(a > b, a, b); }

INGOT_INLINE lanes_f32 clamp_lanes(lanes_f32 value, lanes_f32 low, lanes_f32 high) {
  return lower(higher(value, low), high);
}

/// Where the scalar sum of two constants gives 0 this may give -0, which changes no sum and no code.
INGOT_INLINE lanes_f32 round_even_lanes(lanes_f32 value) { return __builtin_elementwise_roundeven(value); }

INGOT_INLINE void store_codes(uint8_t *out, lanes_f32 codes) {
  lanes_u8 bytes = __builtin_convertvector(__builtin_convertvector(codes, lanes_i32), lanes_u8);
  memcpy(out, &bytes, sizeof bytes);
}

#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define UNWRAPPED(...) __VA_ARGS__
/// Exchanges the off-diagonal blocks of size `by` in every pair of rows `by` apart.
#define SWAP_BLOCKS(by, low, high) \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < 16; i++) { \
    if (i & (by)) continue; \
    lanes_f32 a = rows[i], b = rows[i + (by)]; \
    rows[i] = SHUFFLE(a, b, UNWRAPPED low); \
    rows[i + (by)] = SHUFFLE(a, b, UNWRAPPED high); \
  }

/// Rows become columns.
INGOT_INLINE void transpose_lanes(lanes_f32 rows[16]) {
  SWAP_BLOCKS(
      8, (0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
      (8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
  SWAP_BLOCKS(
      4, (0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),
      (4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
  SWAP_BLOCKS(
      2, (0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
      (2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
  SWAP_BLOCKS(
      1, (0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),
      (1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
}

/// Sum of the lanes in every lane, as a tree: 8 apart, then 4, 2, 1.
INGOT_INLINE lanes_f32 sum_across(lanes_f32 x) {
  x += __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
  x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  x += __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  return x;
}

INGOT_INLINE float lowest(lanes_f32 x) {
  x = lower(x, __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  x = lower(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  x = lower(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  return x[0] < x[1] ? x[0] : x[1];
}

#endif
