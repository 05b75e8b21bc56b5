// Decoding and encoding floats, sixteen at a time.
#ifndef INGOT_VECTOR_FLOATS_H
#define INGOT_VECTOR_FLOATS_H

#include "lanes.h"

INGOT_INLINE lanes_f32 decode_lanes(ingot_float format, const uint8_t *source) {
  switch (format) {
    case INGOT_F32: {
      lanes_f32 value;
      memcpy(&value, source, sizeof value);
      return value;
    }
    case INGOT_F16: {
      lanes_f16 value;
      memcpy(&value, source, sizeof value);
      return __builtin_convertvector(value, lanes_f32);
    }
    case INGOT_BF16: {
      lanes_u16 value;
      memcpy(&value, source, sizeof value);
      return as_f32(__builtin_convertvector(value, lanes_u32) << 16);
    }
    case INGOT_F8E4M3: {
      // Shifted into the fields of a binary16, a code is worth 2^-8 of its value, subnormals too; what would
      // be 480 is the NaN.
      lanes_u8 code;
      memcpy(&code, source, sizeof code);
      lanes_u16 wide = __builtin_convertvector(code, lanes_u16);
      lanes_f16 half = (lanes_f16)((lanes_u16)(wide & 0x80) << 8 | (lanes_u16)(wide & 0x7F) << 7);
      lanes_f32 value = __builtin_convertvector(half, lanes_f32) * 0x1p8f;
      lanes_i32 nan = (as_bits(value) & 0x7FFFFFFF) == 0x43F00000;
      return as_f32((as_bits(value) & ~((lanes_u32)nan & 0x7FFFFFFF)) | ((lanes_u32)nan & 0x7FC00000));
    }
    case INGOT_F8E5M2: {
      lanes_u8 code;
      memcpy(&code, source, sizeof code);
      lanes_u16 wide = __builtin_convertvector(code, lanes_u16) << 8;
      return __builtin_convertvector((lanes_f16)wide, lanes_f32);
    }
  }
  __builtin_unreachable();
}

INGOT_INLINE size_t width_of(ingot_float format) {
  return format == INGOT_F32 ? 4 : format <= INGOT_BF16 ? 2 : 1;
}

INGOT_INLINE void decode_run(ingot_float format, const uint8_t *source, float *out, size_t count) {
  size_t j = 0;
  for (; j + 16 <= count; j += 16) store_lanes(out + j, decode_lanes(format, source + j * width_of(format)));
  for (; j < count; j++) out[j] = decode_one(format, source, j);
}

void BODY(ingot_decode)(ingot_float format, const void *source, float *out, size_t count) {
  switch (format) {
    case INGOT_F32:
      if (count > 0) memcpy(out, source, 4 * count);
      return;
    case INGOT_F16: decode_run(INGOT_F16, source, out, count); return;
    case INGOT_BF16: decode_run(INGOT_BF16, source, out, count); return;
    case INGOT_F8E4M3: decode_run(INGOT_F8E4M3, source, out, count); return;
    case INGOT_F8E5M2: decode_run(INGOT_F8E5M2, source, out, count); return;
  }
}

INGOT_INLINE void decode_scaled_run(
    ingot_float format, const uint8_t *source, const float *scales, size_t block, float *out, size_t count) {
  for (size_t start = 0; start < count; start += block, scales++) {
    size_t j = start, end = count - start < block ? count : start + block;
    lanes_f32 scale = splat(*scales);
    for (; j + 16 <= end; j += 16) store_lanes(out + j, decode_lanes(format, source + j) * scale);
    for (; j < end; j++) out[j] = decode_one(format, source, j) * *scales;
  }
}

void BODY(ingot_decode_block_scaled)(
    ingot_float format, const void *source, const float *scales, size_t block, float *out, size_t count) {
  if (format == INGOT_F8E4M3) {
    decode_scaled_run(INGOT_F8E4M3, source, scales, block, out, count);
  } else {
    decode_scaled_run(INGOT_F8E5M2, source, scales, block, out, count);
  }
}

void BODY(ingot_encode)(ingot_float format, const float *source, void *out, size_t count) {
  size_t j = 0;
  uint8_t *bytes = out;
  switch (format) {
    case INGOT_F16:
      for (; j + 16 <= count; j += 16) {
        lanes_f16 half = __builtin_convertvector(load_lanes(source + j), lanes_f16);
        memcpy(bytes + 2 * j, &half, sizeof half);
      }
      break;
    case INGOT_BF16:
      for (; j + 16 <= count; j += 16) {
        lanes_u32 bits = as_bits(load_lanes(source + j));
        lanes_u32 nan = (lanes_u32)((bits & 0x7FFFFFFF) > 0x7F800000);
        lanes_u32 rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
        lanes_u16 code = __builtin_convertvector((nan & quiet) | (~nan & rounded), lanes_u16);
        memcpy(bytes + 2 * j, &code, sizeof code);
      }
      break;
    default:
      if (count > 0) memcpy(out, source, 4 * count);
      return;
  }
  for (; j < count; j++) encode_one(format, source[j], bytes, j);
}

size_t BODY(ingot_first_non_finite)(const float *values, size_t count) {
  size_t j = 0;
  for (; j + 64 <= count; j += 64) {
    lanes_u32 found = {0};
    for (size_t i = 0; i < 64; i += 16)
      found |= (lanes_u32)((as_bits(load_lanes(values + j + i)) & 0x7F800000) == 0x7F800000);
    if (__builtin_reduce_or(found)) break;
  }
  for (; j < count; j++)
    if ((float_bits(values[j]) & 0x7F800000) == 0x7F800000) return j;
  return count;
}

double BODY(ingot_squared_error)(const float *a, const float *b, const float *h, size_t count) {
  lanes_f64 sum = {0};
  size_t j = 0;
  for (; j + 16 <= count; j += 16) {
    lanes_f64 difference = __builtin_convertvector(load_lanes(a + j), lanes_f64) -
                           __builtin_convertvector(load_lanes(b + j), lanes_f64);
    if (h) {
      sum += __builtin_convertvector(load_lanes(h + j), lanes_f64) * difference * difference;
    } else {
      sum += difference * difference;
    }
  }
  double lanes[16];
  memcpy(lanes, &sum, sizeof lanes);
  for (; j < count; j++) {
    double difference = (double)a[j] - (double)b[j];
    lanes[j % 16] += (h ? (double)h[j] : 1) * difference * difference;
  }
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; i++) lanes[i] += lanes[i + step];
  return lanes[0];
}

#endif
