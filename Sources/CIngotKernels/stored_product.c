// Products with rows as they are stored: what a panel takes is decoded into the first cache, no matrix into memory.
#include "product.h"

typedef struct {
  ingot_isa isa;
  const ingot_rows *rows;
} stored;

static size_t width_of(ingot_float format) { return format == INGOT_F32 ? 4 : format <= INGOT_BF16 ? 2 : 1; }

/// Decodes `count` columns of a row, from column `first` on.
static void decode_columns(
    ingot_isa isa, const ingot_rows *source, size_t row, size_t first, size_t count, float *out) {
  const uint8_t *values = source->values + (row * source->columns + first) * width_of(source->format);
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

static void decode_part(const void *source, size_t row, size_t rows, size_t column, size_t columns, float *out) {
  const stored *s = source;
  for (size_t i = 0; i < rows; i++)
    decode_columns(s->isa, s->rows, row + i, column, columns, out + i * INGOT_PRODUCT_DEPTH);
}

/// The rows as codes, where products read them so.
static bool as_coded(const ingot_rows *source, ingot_coded *out) {
  if (source->format != INGOT_F8E4M3 && source->format != INGOT_BF16 && source->format != INGOT_F16) return false;
  // A part of a row has one scale.
  if (source->scales && source->block_columns % 16 != 0 && source->block_columns < source->columns) return false;
  ingot_coded c = {0};
  c.type = INGOT_FLOATS, c.codes = source->values, c.rows = source->rows, c.columns = source->columns;
  c.storage = source->format, c.scales = (const uint8_t *)source->scales;
  c.group = source->block_columns, c.group_rows = source->block_rows;
  *out = c;
  return true;
}

static ingot_product product_of(const ingot_rows *source, const float *x, size_t tokens, float *y) {
  ingot_product p = {0};
  p.m = tokens, p.n = source->rows, p.k = source->columns;
  p.a = x, p.lda = source->columns;
  p.b = source->values, p.ldb = source->columns;
  // F32 is taken from where it lies, if it is aligned there.
  if (source->format != INGOT_F32 || source->scales || (uintptr_t)source->values % sizeof(float) != 0)
    p.fill = decode_part, p.width = width_of(source->format);
  p.alpha = 1, p.c = y, p.ldc = source->rows;
  return p;
}

size_t ingot_multiply_rows_floats(ingot_isa isa, const ingot_rows *source, size_t tokens) {
  ingot_coded coded;
  if (as_coded(source, &coded)) return ingot_multiply_coded_floats(isa, &coded, tokens);
  ingot_product p = product_of(source, NULL, tokens, NULL);
  return ingot_product_floats(isa, &p);
}

void ingot_multiply_rows(
    ingot_isa isa, const ingot_rows *source, const float *x, size_t tokens, float *y, float *scratch) {
  ingot_coded coded;
  if (as_coded(source, &coded)) return ingot_multiply_coded(isa, &coded, x, tokens, y, scratch);
  ingot_product p = product_of(source, x, tokens, y);
  stored s = {isa, source};
  p.source = &s;
  ingot_multiply(isa, &p, scratch);
}
