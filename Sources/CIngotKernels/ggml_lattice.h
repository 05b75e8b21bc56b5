// Decoding of GGML's other block types: points of lattices that are numbered (IQ1, IQ2, IQ3), three values (TQ), one and
// two bits, and E2M1 under scales of E4M3. A block's weights are
//
//     scale of the sub-block * entry of a point, or entry + a shift
//
// with the products of llama.cpp's decoders in their order.
#ifndef INGOT_GGML_LATTICE_H
#define INGOT_GGML_LATTICE_H

#include "floats.h"
#include "ggml_grids.h"

#pragma STDC FP_CONTRACT OFF

/// Numbers as GGUF files have them.
enum {
  INGOT_IQ2_XXS = 16,
  INGOT_IQ2_XS = 17,
  INGOT_IQ3_XXS = 18,
  INGOT_IQ1_S = 19,
  INGOT_IQ3_S = 21,
  INGOT_IQ2_S = 22,
  INGOT_IQ1_M = 29,
  INGOT_TQ1_0 = 34,
  INGOT_TQ2_0 = 35,
  INGOT_NVFP4 = 40,
  INGOT_Q1_0 = 41,
  INGOT_Q2_0 = 42,
};

/// Weights and bytes of a block; false when the number is none of these types.
INGOT_INLINE bool lattice_shape(int type, size_t *weights, size_t *bytes) {
  *weights = 256;
  switch (type) {
    case INGOT_IQ2_XXS: *bytes = 66; return true;
    case INGOT_IQ2_XS: *bytes = 74; return true;
    case INGOT_IQ3_XXS: *bytes = 98; return true;
    case INGOT_IQ1_S: *bytes = 50; return true;
    case INGOT_IQ3_S: *bytes = 110; return true;
    case INGOT_IQ2_S: *bytes = 82; return true;
    case INGOT_IQ1_M: *bytes = 56; return true;
    case INGOT_TQ1_0: *bytes = 54; return true;
    case INGOT_TQ2_0: *bytes = 66; return true;
    case INGOT_NVFP4: *weights = 64, *bytes = 36; return true;
    case INGOT_Q1_0: *weights = 128, *bytes = 18; return true;
    case INGOT_Q2_0: *weights = 64, *bytes = 18; return true;
    default: return false;
  }
}

/// Whether a number is that of one of these types.
INGOT_INLINE bool lattice_is(int type) {
  size_t weights, bytes;
  return lattice_shape(type, &weights, &bytes);
}

INGOT_INLINE uint16_t lattice_u16(const uint8_t *bytes) { return (uint16_t)(bytes[0] | bytes[1] << 8); }

INGOT_INLINE uint32_t lattice_u32(const uint8_t *bytes) {
  return lattice_u16(bytes) | (uint32_t)lattice_u16(bytes + 2) << 16;
}

/// A nibble of a run of bytes, low halves first.
INGOT_INLINE unsigned lattice_nibble(const uint8_t *bytes, size_t index) {
  return bytes[index / 2] >> 4 * (index % 2) & 15;
}

/// Signs of eight weights from seven bits: their number is even.
INGOT_INLINE unsigned lattice_even_signs(unsigned seven) {
  return seven | (unsigned)(__builtin_popcount(seven) & 1) << 7;
}

/// Eight weights of an IQ2 point.
INGOT_INLINE void lattice_eight(float scale, uint16_t point, unsigned signs, float *out) {
  static const float entries[4] = {8, 25, 43, 0};
  for (size_t j = 0; j < 8; j++) {
    float value = scale * entries[point >> 2 * j & 3];
    out[j] = signs >> j & 1 ? -value : value;
  }
}

/// Four weights of an IQ3 point.
INGOT_INLINE void lattice_four(float scale, uint16_t point, const float *entries, unsigned signs, float *out) {
  for (size_t j = 0; j < 4; j++) {
    float value = scale * entries[point >> 3 * j & 7];
    out[j] = signs >> j & 1 ? -value : value;
  }
}

/// Eight weights of an IQ1 point, all shifted by an eighth up or down.
INGOT_INLINE void lattice_shifted(float scale, uint16_t point, bool down, float *out) {
  float shift = down ? -0.125f : 0.125f;
  for (size_t j = 0; j < 8; j++) out[j] = scale * ((float)((int)(point >> 2 * j & 3) - 1) + shift);
}

INGOT_INLINE void lattice_iq2_xxs(const uint8_t *in, float *out) {
  float d = float_of_f16(lattice_u16(in));
  for (size_t part = 0; part < 8; part++) {
    const uint8_t *points = in + 2 + 8 * part;
    uint32_t word = lattice_u32(points + 4);
    float scale = d * (0.5f + (float)(word >> 28)) * 0.25f;
    for (size_t l = 0; l < 4; l++)
      lattice_eight(
          scale, ggml_grid_iq2_xxs[points[l]], lattice_even_signs(word >> 7 * l & 127), out + 32 * part + 8 * l);
  }
}

INGOT_INLINE void lattice_iq2_xs(const uint8_t *in, float *out) {
  float d = float_of_f16(lattice_u16(in));
  for (size_t l = 0; l < 32; l++) {
    uint16_t both = lattice_u16(in + 2 + 2 * l);
    float scale = d * (0.5f + (float)lattice_nibble(in + 66, l / 2)) * 0.25f;
    lattice_eight(scale, ggml_grid_iq2_xs[both & 511], lattice_even_signs(both >> 9), out + 8 * l);
  }
}

INGOT_INLINE void lattice_iq2_s(const uint8_t *in, float *out) {
  float d = float_of_f16(lattice_u16(in));
  for (size_t l = 0; l < 32; l++) {
    unsigned point = in[2 + l] | (unsigned)(in[66 + l / 4] >> 2 * (l % 4) & 3) << 8;
    float scale = d * (0.5f + (float)lattice_nibble(in + 74, l / 2)) * 0.25f;
    lattice_eight(scale, ggml_grid_iq2_s[point], in[34 + l], out + 8 * l);
  }
}

INGOT_INLINE void lattice_iq3_xxs(const uint8_t *in, float *out) {
  static const float entries[8] = {4, 12, 20, 28, 36, 44, 52, 62};
  float d = float_of_f16(lattice_u16(in));
  for (size_t part = 0; part < 8; part++) {
    uint32_t word = lattice_u32(in + 66 + 4 * part);
    float scale = d * (0.5f + (float)(word >> 28)) * 0.5f;
    for (size_t l = 0; l < 8; l++)
      lattice_four(
          scale, ggml_grid_iq3_xxs[in[2 + 8 * part + l]], entries,
          lattice_even_signs(word >> 7 * (l / 2) & 127) >> 4 * (l % 2), out + 32 * part + 4 * l);
  }
}

INGOT_INLINE void lattice_iq3_s(const uint8_t *in, float *out) {
  static const float entries[8] = {1, 3, 5, 7, 9, 11, 13, 15};
  float d = float_of_f16(lattice_u16(in));
  for (size_t l = 0; l < 64; l++) {
    unsigned point = in[2 + l] | (unsigned)(in[66 + l / 8] >> l % 8 & 1) << 8;
    float scale = d * (float)(1 + 2 * lattice_nibble(in + 106, l / 8));
    lattice_four(scale, ggml_grid_iq3_s[point], entries, lattice_nibble(in + 74, l), out + 4 * l);
  }
}

INGOT_INLINE void lattice_iq1_s(const uint8_t *in, float *out) {
  float d = float_of_f16(lattice_u16(in));
  for (size_t l = 0; l < 32; l++) {
    uint16_t high = lattice_u16(in + 34 + l / 4 * 2);
    unsigned point = in[2 + l] | (unsigned)(high >> 3 * (l % 4) & 7) << 8;
    lattice_shifted(d * (float)(2 * (high >> 12 & 7) + 1), ggml_grid_iq1_s[point], high >> 15, out + 8 * l);
  }
}

/// The only type whose scale is spread: a nibble on top of each word of scales.
INGOT_INLINE void lattice_iq1_m(const uint8_t *in, float *out) {
  const uint8_t *scales = in + 48;
  unsigned bits = 0;
  for (size_t k = 0; k < 4; k++) bits |= (unsigned)(lattice_u16(scales + 2 * k) >> 12) << 4 * k;
  float d = float_of_f16((uint16_t)bits);
  for (size_t l = 0; l < 32; l++) {
    unsigned high = lattice_nibble(in + 32, l), part = (unsigned)l / 2;
    unsigned multiple = 2 * (lattice_u16(scales + part / 4 * 2) >> 3 * (part % 4) & 7) + 1;
    lattice_shifted(d * (float)multiple, ggml_grid_iq1_s[in[l] | (high & 7) << 8], high >> 3, out + 8 * l);
  }
}

/// Numbers in base 3, five digits a byte: byte / 256 is the fraction whose digits they are.
INGOT_INLINE float lattice_digit(uint8_t byte, size_t digit) {
  static const uint8_t powers[5] = {1, 3, 9, 27, 81};
  return (float)(((uint8_t)(byte * powers[digit]) * 3 >> 8) - 1);
}

INGOT_INLINE void lattice_tq1_0(const uint8_t *in, float *out) {
  float d = float_of_f16(lattice_u16(in + 52));
  for (size_t n = 0; n < 5; n++) {
    for (size_t j = 0; j < 32; j++) out[32 * n + j] = d * lattice_digit(in[j], n);
    for (size_t j = 0; j < 16; j++) out[160 + 16 * n + j] = d * lattice_digit(in[32 + j], n);
  }
  for (size_t n = 0; n < 4; n++)
    for (size_t j = 0; j < 4; j++) out[240 + 4 * n + j] = d * lattice_digit(in[48 + j], n);
}

INGOT_INLINE void lattice_tq2_0(const uint8_t *in, float *out) {
  float d = float_of_f16(lattice_u16(in + 64));
  for (size_t j = 0; j < 256; j++)
    out[j] = d * (float)((in[j / 128 * 32 + j % 32] >> 2 * (j % 128 / 32) & 3) - 1);
}

/// Half the value of an E4M3 without a sign, so that twice an E2M1 value times it is the weight; 0 for NaN.
INGOT_INLINE float lattice_half_of_e4m3(uint8_t byte) {
  unsigned exponent = byte >> 3 & 15, mantissa = byte & 7;
  if (byte == 0x7F) return 0;
  if (exponent == 0) return (float)mantissa * 0x1p-10f;
  return float_of((exponent + 119) << 23 | mantissa << 20);
}

INGOT_INLINE void lattice_nvfp4(const uint8_t *in, float *out) {
  static const float entries[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  for (size_t part = 0; part < 4; part++) {
    float scale = lattice_half_of_e4m3(in[part]);
    for (size_t j = 0; j < 8; j++) {
      uint8_t both = in[4 + 8 * part + j];
      out[16 * part + j] = scale * entries[both & 15];
      out[16 * part + 8 + j] = scale * entries[both >> 4];
    }
  }
}

/// Codes of one or two bits, less a half or 1.
INGOT_INLINE void lattice_bits(const uint8_t *in, float *out, size_t weights, unsigned bits) {
  float d = float_of_f16(lattice_u16(in));
  for (size_t j = 0; j < weights; j++) {
    int code = in[2 + j * bits / 8] >> j * bits % 8 & (int)(1u << bits) - 1;
    out[j] = d * (float)(bits == 1 ? 2 * code - 1 : code - 1);
  }
}

INGOT_INLINE void lattice_decode(int type, const uint8_t *bytes, float *out, size_t blocks) {
  size_t weights = 0, size = 0;
  lattice_shape(type, &weights, &size);
  for (size_t i = 0; i < blocks; i++, bytes += size, out += weights) {
    switch (type) {
      case INGOT_IQ2_XXS: lattice_iq2_xxs(bytes, out); break;
      case INGOT_IQ2_XS: lattice_iq2_xs(bytes, out); break;
      case INGOT_IQ2_S: lattice_iq2_s(bytes, out); break;
      case INGOT_IQ3_XXS: lattice_iq3_xxs(bytes, out); break;
      case INGOT_IQ3_S: lattice_iq3_s(bytes, out); break;
      case INGOT_IQ1_S: lattice_iq1_s(bytes, out); break;
      case INGOT_IQ1_M: lattice_iq1_m(bytes, out); break;
      case INGOT_TQ1_0: lattice_tq1_0(bytes, out); break;
      case INGOT_TQ2_0: lattice_tq2_0(bytes, out); break;
      case INGOT_NVFP4: lattice_nvfp4(bytes, out); break;
      case INGOT_Q1_0: lattice_bits(bytes, out, 128, 1); break;
      case INGOT_Q2_0: lattice_bits(bytes, out, 64, 2); break;
      default: break;
    }
  }
}

#endif
