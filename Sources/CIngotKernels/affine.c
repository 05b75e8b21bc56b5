// Integer codes of affine schemes to F32.
#include "isa.h"

#pragma STDC FP_CONTRACT OFF

/// Columns unpacked at a time, into the stack: a multiple of 8, so that each chunk begins on a byte.
enum { CHUNK = 2048 };

static void decode_integer_scalar(const uint8_t *codes, size_t count, float scale, int zero, float *out) {
  for (size_t j = 0; j < count; j++) out[j] = scale * (float)(codes[j] - zero);
}

static void decode_bias_scalar(const uint8_t *codes, size_t count, float scale, float bias, float *out) {
  for (size_t j = 0; j < count; j++) {
    float product = scale * (float)codes[j];
    out[j] = product + bias;
  }
}

/// Columns first ..< first + count, whose codes are `codes`.
void ingot_decode_columns_scalar(
    const ingot_affine_row *row, const uint8_t *codes, size_t first, size_t count) {
  for (size_t start = first, end = first + count; start < end;) {
    size_t g = start / row->group, stop = (g + 1) * row->group;
    if (stop > end) stop = end;
    const uint8_t *part = codes + (start - first);
    if (row->biases) {
      decode_bias_scalar(part, stop - start, row->scales[g], row->biases[g], row->out + start);
    } else {
      int zero = row->zeros ? row->zeros[g] : row->zero;
      decode_integer_scalar(part, stop - start, row->scales[g], zero, row->out + start);
    }
    start = stop;
  }
}

void ingot_decode_affine(ingot_isa isa, const ingot_affine_row *row) {
  if (row->bits == 8) {
    INGOT_DISPATCH(isa, ingot_decode_columns, row, row->packed, 0, row->count);
    return;
  }
  uint8_t codes[CHUNK];
  for (size_t first = 0; first < row->count; first += CHUNK) {
    size_t count = row->count - first < CHUNK ? row->count - first : CHUNK;
    ingot_unpack(isa, row->bits, row->packed + first / 8 * row->bits, codes, count);
    INGOT_DISPATCH(isa, ingot_decode_columns, row, codes, first, count);
  }
}
