// Float formats one value at a time: the reference that the vector bodies must equal bit for bit.
#ifndef INGOT_FLOATS_H
#define INGOT_FLOATS_H

#include <string.h>

#include "isa.h"

#pragma STDC FP_CONTRACT OFF

INGOT_INLINE uint32_t float_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

INGOT_INLINE float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

INGOT_INLINE float load_float(const void *source) {
  float value;
  memcpy(&value, source, 4);
  return value;
}

INGOT_INLINE uint16_t load_u16(const void *source) {
  uint16_t value;
  memcpy(&value, source, 2);
  return value;
}

/// IEEE binary16 to F32; signalling NaN becomes quiet, as the conversion instructions do it.
INGOT_INLINE float float_of_f16(uint16_t code) {
  uint32_t sign = (uint32_t)(code & 0x8000) << 16, exponent = code >> 10 & 31, mantissa = code & 1023;
  if (exponent == 31) return float_of(sign | 0x7F800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
  if (exponent != 0) return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
  float value = (float)mantissa * 0x1p-24f;
  return sign ? -value : value;
}

INGOT_INLINE float float_of_bf16(uint16_t code) { return float_of((uint32_t)code << 16); }

/// OCP E4M3 ("fn"): bias 7, 0x7F is the only NaN.
INGOT_INLINE float float_of_f8e4m3(uint8_t code) {
  uint32_t sign = (uint32_t)(code & 0x80) << 24, exponent = code >> 3 & 15, mantissa = code & 7;
  if ((code & 0x7F) == 0x7F) return float_of(sign | 0x7FC00000);
  if (exponent != 0) return float_of(sign | (exponent + 120) << 23 | mantissa << 20);
  float value = (float)mantissa * 0x1p-9f;
  return sign ? -value : value;
}

/// OCP E5M2: the upper byte of a binary16.
INGOT_INLINE float float_of_f8e5m2(uint8_t code) { return float_of_f16((uint16_t)(code << 8)); }

INGOT_INLINE uint16_t f16_of_float(float value) {
  uint32_t bits = float_bits(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
  if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00);  // from 65520 on
  if (magnitude < 0x38800000) {
    // Below 2^-14 the step is 2^-24, which is that of floats at 0.5: the sum rounds as wanted.
    return (uint16_t)(sign | (float_bits(float_of(magnitude) + 0.5f) - 0x3F000000));
  }
  return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13));
}

INGOT_INLINE uint16_t bf16_of_float(float value) {
  uint32_t bits = float_bits(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

INGOT_INLINE float decode_one(ingot_float format, const uint8_t *source, size_t index) {
  switch (format) {
    case INGOT_F32: return load_float(source + 4 * index);
    case INGOT_F16: return float_of_f16(load_u16(source + 2 * index));
    case INGOT_BF16: return float_of_bf16(load_u16(source + 2 * index));
    case INGOT_F8E4M3: return float_of_f8e4m3(source[index]);
    case INGOT_F8E5M2: return float_of_f8e5m2(source[index]);
  }
  __builtin_unreachable();
}

/// Writes one value of F32, F16 or BF16 at `out + width * index`.
INGOT_INLINE void encode_one(ingot_float format, float value, uint8_t *out, size_t index) {
  uint16_t code;
  switch (format) {
    case INGOT_F16: code = f16_of_float(value); break;
    case INGOT_BF16: code = bf16_of_float(value); break;
    default: memcpy(out + 4 * index, &value, 4); return;
  }
  memcpy(out + 2 * index, &code, 2);
}

#endif
