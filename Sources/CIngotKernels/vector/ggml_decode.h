// GGML blocks to F32: the layouts of ../ggml.h compiled for each type and instruction set, sixteen products
// at once.
#ifndef INGOT_VECTOR_GGML_DECODE_H
#define INGOT_VECTOR_GGML_DECODE_H

#include "../ggml.h"
#include "../ggml_lattice.h"
#include "lanes.h"

/// Entries of a table of 16 bytes.
INGOT_INLINE lanes_i32 look_up_lanes(const int8_t *table, const uint8_t *codes) {
  typedef int8_t lanes_i8 __attribute__((vector_size(16)));
  lanes_i8 values;
#if defined(INGOT_X86)
  __m128i index = _mm_loadu_si128((const __m128i *)codes);
  values = (lanes_i8)_mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)table), index);
#elif defined(INGOT_ARM64)
  values = (lanes_i8)vqtbl1q_s8(vld1q_s8(table), vld1q_u8(codes));
#endif
  return __builtin_convertvector(values, lanes_i32);
}

INGOT_INLINE void decode_ggml_blocks(ingot_ggml type, const uint8_t *bytes, float *out, size_t blocks) {
  ggml_shape shape = ggml_shape_of(type);
  for (size_t i = 0; i < blocks; i++) {
    ggml_block block;
    ggml_read(type, bytes + i * shape.bytes, &block);
    float d = ggml_scale(type, &block), m = ggml_minimum(&block);
    for (size_t j = 0; j < shape.weights; j += 16) {
      size_t part = j / shape.part;
      lanes_i32 value = shape.table ? look_up_lanes(shape.table, block.codes + j)
                                    : load_codes(block.codes + j) - shape.zero;
      lanes_f32 scaled = __builtin_convertvector(value, lanes_f32) * (d * (float)block.scales[part]);
      store_lanes(out + i * shape.weights + j, scaled - m * (float)block.minima[part]);
    }
  }
}

void BODY(ingot_decode_ggml)(ingot_ggml type, const uint8_t *bytes, float *out, size_t blocks) {
  if (lattice_is((int)type)) return lattice_decode((int)type, bytes, out, blocks);
#define DECODE(constant) decode_ggml_blocks(constant, bytes, out, blocks)
  GGML_CASES(type, DECODE)
#undef DECODE
}

#endif
