// GGML blocks to F32.
#include "ggml.h"
#include "ggml_lattice.h"

#pragma STDC FP_CONTRACT OFF

bool ingot_ggml_shape(int type, size_t *weights, size_t *bytes) {
  if (lattice_shape(type, weights, bytes)) return true;
  switch (type) {
    case INGOT_Q4_0: case INGOT_Q4_1: case INGOT_Q5_0: case INGOT_Q5_1: case INGOT_Q8_0: case INGOT_Q2_K:
    case INGOT_Q3_K: case INGOT_Q4_K: case INGOT_Q5_K: case INGOT_Q6_K: case INGOT_IQ4_NL: case INGOT_IQ4_XS:
    case INGOT_MXFP4: break;
    default: return false;
  }
  *weights = ggml_shape_of((ingot_ggml)type).weights;
  *bytes = ggml_shape_of((ingot_ggml)type).bytes;
  return true;
}

void ingot_decode_ggml_scalar(ingot_ggml type, const uint8_t *bytes, float *out, size_t blocks) {
  if (lattice_is((int)type)) return lattice_decode((int)type, bytes, out, blocks);
  ggml_shape shape = ggml_shape_of(type);
  for (size_t i = 0; i < blocks; i++) {
    ggml_block block;
    ggml_read(type, bytes + i * shape.bytes, &block);
    float d = ggml_scale(type, &block), m = ggml_minimum(&block);
    for (size_t j = 0; j < shape.weights; j++) {
      size_t part = j / shape.part;
      int value = shape.table ? shape.table[block.codes[j]] : block.codes[j] - shape.zero;
      float scaled = d * (float)block.scales[part] * (float)value;
      out[i * shape.weights + j] = scaled - m * (float)block.minima[part];
    }
  }
}

void ingot_decode_ggml(ingot_isa isa, ingot_ggml type, const void *blocks, float *out, size_t count) {
  INGOT_DISPATCH(isa, ingot_decode_ggml, type, blocks, out, count);
}
