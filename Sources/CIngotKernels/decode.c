// Stored floats to F32.
#include "floats.h"

#pragma STDC FP_CONTRACT OFF

void ingot_decode_scalar(ingot_float format, const void *source, float *out, size_t count) {
  for (size_t j = 0; j < count; j++) out[j] = decode_one(format, source, j);
}

void ingot_decode_block_scaled_scalar(
    ingot_float format, const void *source, const float *scales, size_t block, float *out,
    size_t count) {
  for (size_t j = 0; j < count; j++) out[j] = decode_one(format, source, j) * scales[j / block];
}

void ingot_decode(ingot_isa isa, ingot_float format, const void *source, float *out, size_t count) {
  INGOT_DISPATCH(isa, ingot_decode, format, source, out, count);
}

void ingot_decode_block_scaled(
    ingot_isa isa, ingot_float format, const void *source, const float *scales, size_t block, float *out,
    size_t count) {
  INGOT_DISPATCH(isa, ingot_decode_block_scaled, format, source, scales, block, out, count);
}
