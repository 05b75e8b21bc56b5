// Block types of GGML: what a block's bytes hold. Layouts are those that GGUF files use.
//
// A block has a scale d (a binary16; an exponent for MXFP4), perhaps a second one m for the minima, and
// codes. Its weights are cut into sub-blocks, each with an integer multiple of d, and of m. A weight is
//
//     d * scales[sub-block] * value(code) - m * minima[sub-block]
//
// where value is code - zero or an entry of a table. All but the subtraction is exact in F32.
#ifndef INGOT_GGML_H
#define INGOT_GGML_H

#include "floats.h"

#pragma STDC FP_CONTRACT OFF

enum { GGML_MOST_WEIGHTS = 256, GGML_MOST_PARTS = 16 };

/// What is fixed for a type.
typedef struct {
  size_t weights, bytes, part;  // of a block; weights of a sub-block
  int most, zero;               // largest code; the code of value 0, without a table
  const int8_t *table;          // 16 values, or null
} ggml_shape;

/// A block taken apart.
typedef struct {
  uint16_t d, m;  // binary16, or an exponent in d
  int8_t minima[GGML_MOST_PARTS];
  int16_t scales[GGML_MOST_PARTS];
  uint8_t codes[GGML_MOST_WEIGHTS];
} ggml_block;

static const int8_t ggml_curve[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
/// Twice the values of E2M1.
static const int8_t ggml_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

INGOT_INLINE ggml_shape ggml_shape_of(ingot_ggml type) {
  switch (type) {
    case INGOT_Q4_0: return (ggml_shape){32, 18, 32, 15, 8, NULL};
    case INGOT_Q4_1: return (ggml_shape){32, 20, 32, 15, 0, NULL};
    case INGOT_Q5_0: return (ggml_shape){32, 22, 32, 31, 16, NULL};
    case INGOT_Q5_1: return (ggml_shape){32, 24, 32, 31, 0, NULL};
    case INGOT_Q8_0: return (ggml_shape){32, 34, 32, 255, 128, NULL};
    case INGOT_Q2_K: return (ggml_shape){256, 84, 16, 3, 0, NULL};
    case INGOT_Q3_K: return (ggml_shape){256, 110, 16, 7, 4, NULL};
    case INGOT_Q4_K: return (ggml_shape){256, 144, 32, 15, 0, NULL};
    case INGOT_Q5_K: return (ggml_shape){256, 176, 32, 31, 0, NULL};
    case INGOT_Q6_K: return (ggml_shape){256, 210, 16, 63, 32, NULL};
    case INGOT_IQ4_NL: return (ggml_shape){32, 18, 32, 15, 0, ggml_curve};
    case INGOT_IQ4_XS: return (ggml_shape){256, 136, 32, 15, 0, ggml_curve};
    case INGOT_MXFP4: return (ggml_shape){32, 17, 32, 15, 0, ggml_e2m1};
  }
  __builtin_unreachable();
}

/// Half the value of an E8M0 exponent, so that twice an E2M1 value times it is the weight.
INGOT_INLINE float half_of_e8m0(unsigned exponent) {
  return float_of(exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23);
}

/// Goes over the fields of a block, from its bytes or into them: the two directions share one description.
typedef struct {
  uint8_t *bytes;
  bool writes;
} ggml_fields;

INGOT_INLINE void ggml_u8(ggml_fields f, size_t at, uint8_t *value) {
  if (f.writes) {
    f.bytes[at] = *value;
  } else {
    *value = f.bytes[at];
  }
}

INGOT_INLINE void ggml_u16(ggml_fields f, size_t at, uint16_t *value) {
  if (f.writes) {
    memcpy(f.bytes + at, value, 2);
  } else {
    memcpy(value, f.bytes + at, 2);
  }
}

/// `count` codes' low halves at `codes` and as many at `codes + count` share `count` bytes.
INGOT_INLINE void ggml_nibbles(ggml_fields f, size_t at, uint8_t *codes, size_t count) {
  for (size_t l = 0; l < count; l++) {
    if (f.writes) {
      f.bytes[at + l] = (uint8_t)((codes[l] & 15) | codes[count + l] << 4);
    } else {
      uint8_t both = f.bytes[at + l];
      codes[l] = both & 15;
      codes[count + l] = both >> 4;
    }
  }
}

/// Two bits, from `low` on, of 32 codes each at codes, codes + 32, codes + 64 and codes + 96 share 32 bytes.
INGOT_INLINE void ggml_pairs(ggml_fields f, size_t at, uint8_t *codes, unsigned low) {
  for (size_t l = 0; l < 32; l++) {
    uint8_t *c = codes + l;
    if (f.writes) {
      f.bytes[at + l] = (uint8_t)((c[0] >> low & 3) | (c[32] >> low & 3) << 2 | (c[64] >> low & 3) << 4 |
                                  (c[96] >> low & 3) << 6);
    } else {
      uint8_t all = f.bytes[at + l];
      c[0] |= (uint8_t)((all & 3) << low);
      c[32] |= (uint8_t)((all >> 2 & 3) << low);
      c[64] |= (uint8_t)((all >> 4 & 3) << low);
      c[96] |= (uint8_t)((all >> 6) << low);
    }
  }
}

/// Bit `bit` of code 32 * i + l is bit i of byte l, for all 256 codes.
INGOT_INLINE void ggml_planes(ggml_fields f, size_t at, uint8_t *codes, unsigned bit) {
  for (size_t l = 0; l < 32; l++) {
    uint8_t all = f.writes ? 0 : f.bytes[at + l];
    for (size_t i = 0; i < 8; i++) {
      if (f.writes) {
        all |= (uint8_t)((codes[32 * i + l] >> bit & 1) << i);
      } else {
        codes[32 * i + l] |= (uint8_t)((all >> i & 1) << bit);
      }
    }
    if (f.writes) f.bytes[at + l] = all;
  }
}

/// Bit 4 of 32 codes as one 32-bit word.
INGOT_INLINE void ggml_fifth_bits(ggml_fields f, size_t at, uint8_t *codes) {
  uint32_t word = 0;
  if (f.writes) {
    for (size_t l = 0; l < 32; l++) word |= (uint32_t)(codes[l] >> 4 & 1) << l;
    memcpy(f.bytes + at, &word, 4);
  } else {
    memcpy(&word, f.bytes + at, 4);
    for (size_t l = 0; l < 32; l++) codes[l] |= (uint8_t)((word >> l & 1) << 4);
  }
}

/// Eight scales and eight minima of 6 bits in 12 bytes: the first four of each fill the low bits of bytes
/// 0…3 and 4…7; of the others the low halves lie in bytes 8…11, the upper two bits on top of bytes 0…7.
INGOT_INLINE void ggml_six_bit_pairs(ggml_fields f, size_t at, ggml_block *block) {
  uint8_t *in = f.bytes + at;
  for (size_t j = 0; j < 4; j++) {
    if (f.writes) {
      unsigned s = (unsigned)block->scales[4 + j], m = (unsigned)block->minima[4 + j];
      in[j] = (uint8_t)((unsigned)block->scales[j] | s >> 4 << 6);
      in[4 + j] = (uint8_t)((unsigned)block->minima[j] | m >> 4 << 6);
      in[8 + j] = (uint8_t)((s & 15) | (m & 15) << 4);
    } else {
      block->scales[j] = in[j] & 63;
      block->minima[j] = in[4 + j] & 63;
      block->scales[4 + j] = (in[8 + j] & 15) | in[j] >> 6 << 4;
      block->minima[4 + j] = (int8_t)(in[8 + j] >> 4 | in[4 + j] >> 6 << 4);
    }
  }
}

/// Sixteen scales of 6 bits, 32 too high, in 12 bytes: low halves of j and j + 8 in byte j, the upper two
/// bits of j, j + 4, j + 8 and j + 12 in byte 8 + j.
INGOT_INLINE void ggml_six_bit_scales(ggml_fields f, size_t at, ggml_block *block) {
  uint8_t *in = f.bytes + at;
  if (f.writes) memset(in, 0, 12);
  for (size_t j = 0; j < 16; j++) {
    size_t low = j % 8, high = 8 + j % 4, half = j / 8 * 4, pair = j / 4 * 2;
    if (f.writes) {
      unsigned s = (unsigned)(block->scales[j] + 32);
      in[low] |= (uint8_t)((s & 15) << half);
      in[high] |= (uint8_t)(s >> 4 << pair);
    } else {
      block->scales[j] = (int16_t)(((in[low] >> half & 15) | (in[high] >> pair & 3) << 4) - 32);
    }
  }
}

/// Eight scales of 6 bits, 32 too high: upper two bits in 16 bits at `at`, low halves in the 4 bytes after
/// them.
INGOT_INLINE void ggml_split_scales(ggml_fields f, size_t at, ggml_block *block) {
  uint16_t high = 0;
  if (!f.writes) ggml_u16(f, at, &high);
  for (size_t j = 0; j < 8; j++) {
    uint8_t *low = f.bytes + at + 2 + j / 2;
    unsigned half = j % 2 * 4;
    if (f.writes) {
      unsigned s = (unsigned)(block->scales[j] + 32);
      high |= (uint16_t)(s >> 4 << 2 * j);
      *low = (uint8_t)(half ? *low | (s & 15) << 4 : s & 15);
    } else {
      block->scales[j] = (int16_t)(((*low >> half & 15) | (high >> 2 * j & 3) << 4) - 32);
    }
  }
  if (f.writes) ggml_u16(f, at, &high);
}

/// The one description of each layout. What a type does not have is left alone.
INGOT_INLINE void ggml_visit(ingot_ggml type, ggml_fields f, ggml_block *block) {
  uint8_t *codes = block->codes;
  switch (type) {
    case INGOT_Q4_0:
    case INGOT_IQ4_NL:
      ggml_u16(f, 0, &block->d);
      ggml_nibbles(f, 2, codes, 16);
      return;
    case INGOT_Q4_1:
      ggml_u16(f, 0, &block->d);
      ggml_u16(f, 2, &block->m);
      ggml_nibbles(f, 4, codes, 16);
      return;
    case INGOT_Q5_0:
      ggml_u16(f, 0, &block->d);
      ggml_nibbles(f, 6, codes, 16);
      ggml_fifth_bits(f, 2, codes);
      return;
    case INGOT_Q5_1:
      ggml_u16(f, 0, &block->d);
      ggml_u16(f, 2, &block->m);
      ggml_nibbles(f, 8, codes, 16);
      ggml_fifth_bits(f, 4, codes);
      return;
    case INGOT_Q8_0:
      ggml_u16(f, 0, &block->d);
      // Signed bytes; as codes they start at 0.
      for (size_t l = 0; l < 32; l++) {
        uint8_t code = codes[l] ^ 0x80;
        ggml_u8(f, 2 + l, &code);
        codes[l] = code ^ 0x80;
      }
      return;
    case INGOT_MXFP4: {
      uint8_t exponent = (uint8_t)block->d;
      ggml_u8(f, 0, &exponent);
      block->d = exponent;
      ggml_nibbles(f, 1, codes, 16);
      return;
    }
    case INGOT_Q2_K:
      for (size_t j = 0; j < 16; j++) {
        uint8_t both = (uint8_t)(block->scales[j] | block->minima[j] << 4);
        ggml_u8(f, j, &both);
        block->scales[j] = both & 15;
        block->minima[j] = (int8_t)(both >> 4);
      }
      for (size_t half = 0; half < 2; half++) ggml_pairs(f, 16 + 32 * half, codes + 128 * half, 0);
      ggml_u16(f, 80, &block->d);
      ggml_u16(f, 82, &block->m);
      return;
    case INGOT_Q3_K:
      ggml_planes(f, 0, codes, 2);
      for (size_t half = 0; half < 2; half++) ggml_pairs(f, 32 + 32 * half, codes + 128 * half, 0);
      ggml_six_bit_scales(f, 96, block);
      ggml_u16(f, 108, &block->d);
      return;
    case INGOT_Q4_K:
    case INGOT_Q5_K:
      ggml_u16(f, 0, &block->d);
      ggml_u16(f, 2, &block->m);
      ggml_six_bit_pairs(f, 4, block);
      for (size_t j = 0; j < 4; j++)
        ggml_nibbles(f, (type == INGOT_Q4_K ? 16 : 48) + 32 * j, codes + 64 * j, 32);
      if (type == INGOT_Q5_K) ggml_planes(f, 16, codes, 4);
      return;
    case INGOT_Q6_K:
      for (size_t half = 0; half < 2; half++) {
        // Low halves of codes l and l + 64 share a byte.
        ggml_nibbles(f, 64 * half, codes + 128 * half, 64);
        ggml_pairs(f, 128 + 32 * half, codes + 128 * half, 4);
      }
      for (size_t j = 0; j < 16; j++) {
        uint8_t scale = (uint8_t)block->scales[j];
        ggml_u8(f, 192 + j, &scale);
        block->scales[j] = (int8_t)scale;
      }
      ggml_u16(f, 208, &block->d);
      return;
    case INGOT_IQ4_XS:
      ggml_u16(f, 0, &block->d);
      ggml_split_scales(f, 2, block);
      for (size_t j = 0; j < 8; j++) ggml_nibbles(f, 8 + 16 * j, codes + 32 * j, 16);
      return;
  }
}

/// Fills `block` from a block's bytes; scales and minima that the type has not are 1, or 0 and -1.
INGOT_INLINE void ggml_read(ingot_ggml type, const uint8_t *bytes, ggml_block *block) {
  ggml_fields f = {(uint8_t *)bytes, false};
  ggml_shape shape = ggml_shape_of(type);
  // Bits of a code from several fields are joined by "or".
  if (type == INGOT_Q2_K || type == INGOT_Q3_K) memset(block->codes, 0, GGML_MOST_WEIGHTS);
  block->m = 0;
  for (size_t j = 0; j < shape.weights / shape.part; j++) {
    block->scales[j] = 1;
    block->minima[j] = type == INGOT_Q4_1 || type == INGOT_Q5_1 ? -1 : 0;
  }
  ggml_visit(type, f, block);
}

INGOT_INLINE void ggml_write(ingot_ggml type, ggml_block *block, uint8_t *bytes) {
  ggml_fields f = {bytes, true};
  ggml_visit(type, f, block);
}

/// d and m as numbers.
INGOT_INLINE float ggml_scale(ingot_ggml type, const ggml_block *block) {
  return type == INGOT_MXFP4 ? half_of_e8m0(block->d) : float_of_f16(block->d);
}

INGOT_INLINE float ggml_minimum(const ggml_block *block) { return float_of_f16(block->m); }

/// Calls `body(TYPE)` with each type as a constant, so that each is compiled for itself.
#define GGML_CASES(type, body) \
  switch (type) { \
    case INGOT_Q4_0: body(INGOT_Q4_0); break; \
    case INGOT_Q4_1: body(INGOT_Q4_1); break; \
    case INGOT_Q5_0: body(INGOT_Q5_0); break; \
    case INGOT_Q5_1: body(INGOT_Q5_1); break; \
    case INGOT_Q8_0: body(INGOT_Q8_0); break; \
    case INGOT_Q2_K: body(INGOT_Q2_K); break; \
    case INGOT_Q3_K: body(INGOT_Q3_K); break; \
    case INGOT_Q4_K: body(INGOT_Q4_K); break; \
    case INGOT_Q5_K: body(INGOT_Q5_K); break; \
    case INGOT_Q6_K: body(INGOT_Q6_K); break; \
    case INGOT_IQ4_NL: body(INGOT_IQ4_NL); break; \
    case INGOT_IQ4_XS: body(INGOT_IQ4_XS); break; \
    case INGOT_MXFP4: body(INGOT_MXFP4); break; \
  }

#endif
