// The product of few tokens with rows as they are stored: some rows are decoded into the first cache and multiplied from
// there, where decoding all of them and a library's product would go through memory twice.
#include <math.h>

#include "few.h"

#pragma STDC FP_CONTRACT OFF

void ingot_few_scalar(const ingot_few *part) {
  for (size_t i = 0; i < FEW_ROWS; i++)
    for (size_t token = 0; token < part->tokens; token++) {
      const float *w = part->weights + i * part->stride, *x = part->x + token * part->leading;
      float *sums = part->sums + (i * INGOT_FEW + token) * 16;
      for (size_t j = 0; j < part->columns; j++) sums[j % 16] = fmaf(w[j], x[j], sums[j % 16]);
    }
}

/// Decodes `count` columns of a row, from column `first` on.
static void decode_columns(
    ingot_isa isa, const ingot_rows *source, size_t row, size_t first, size_t count, float *out) {
  size_t width = source->format == INGOT_F32 ? 4 : source->format <= INGOT_BF16 ? 2 : 1;
  const uint8_t *values = source->values + (row * source->columns + first) * width;
  if (!source->scales) {
    ingot_decode(isa, source->format, values, out, count);
    return;
  }
  size_t block = source->block_columns, blocks = (source->columns + block - 1) / block;
  const float *scales = source->scales + row / source->block_rows * blocks;
  // Up to where a block ends, if that is within; then whole blocks.
  size_t begun = first % block == 0 ? 0 : block - first % block;
  if (begun > count) begun = count;
  if (begun > 0)
    ingot_decode_block_scaled(isa, source->format, values, scales + first / block, begun, out, begun);
  if (begun < count)
    ingot_decode_block_scaled(
        isa, source->format, values + begun, scales + (first + begun) / block, block, out + begun, count - begun);
}

void ingot_multiply_rows(
    ingot_isa isa, const ingot_rows *source, const float *x, size_t tokens, float *y, float *tile) {
  float *weights = tile, *sums = tile + FEW_ROWS * FEW_COLUMNS;
  for (size_t first = 0; first < source->rows; first += FEW_ROWS) {
    size_t rows = source->rows - first < FEW_ROWS ? source->rows - first : FEW_ROWS;
    memset(sums, 0, sizeof(float) * FEW_ROWS * INGOT_FEW * 16);
    for (size_t j = 0; j < source->columns; j += FEW_COLUMNS) {
      size_t columns = source->columns - j < FEW_COLUMNS ? source->columns - j : FEW_COLUMNS;
      ingot_few part = {weights, FEW_COLUMNS, x + j, columns, source->columns, tokens, sums};
      // Rows of F32 are read where they stand.
      if (source->format == INGOT_F32 && !source->scales && rows == FEW_ROWS && (uintptr_t)source->values % 4 == 0) {
        part.weights = (const float *)(const void *)source->values + first * source->columns + j;
        part.stride = source->columns;
      } else {
        for (size_t i = 0; i < FEW_ROWS; i++)
          decode_columns(isa, source, first + (i < rows ? i : 0), j, columns, weights + i * FEW_COLUMNS);
      }
      INGOT_DISPATCH(isa, ingot_few, &part);
    }
    for (size_t i = 0; i < rows; i++)
      for (size_t token = 0; token < tokens; token++) {
        float *lanes = sums + (i * INGOT_FEW + token) * 16;
        for (int step = 8; step > 0; step /= 2)
          for (int k = 0; k < step; k++) lanes[k] += lanes[k + step];
        y[token * source->rows + first + i] = lanes[0];
      }
  }
}
