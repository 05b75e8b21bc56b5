// Quantizing rows as they are stored: a few are decoded into a scratch that stays in the second cache, looked over for
// NaN and infinity, and quantized from there. The result is that of decoding and quantizing the whole.
#include "isa.h"

#pragma STDC FP_CONTRACT OFF

/// Columns of a tile, about: rows of it are decoded at once.
enum { TILE = 16384 };

static size_t width_of(ingot_float format) {
  return format == INGOT_F32 ? 4 : format == INGOT_F16 || format == INGOT_BF16 ? 2 : 1;
}

size_t ingot_tile_rows(size_t columns) {
  size_t rows = columns > 0 ? TILE / columns : 1;
  return rows > 0 ? rows : 1;
}

size_t ingot_tile_bytes(size_t columns) {
  size_t tile = ingot_tile_rows(columns) * columns * 4;
#if defined(INGOT_X86)
  // Blocks of columns have 64 or more where tables are made.
  size_t tables = (columns / 64 + 1) * INGOT_BLOCK_TABLES;
  return tile > tables ? tile : tables;
#else
  return tile;
#endif
}

void ingot_decode_rows(ingot_isa isa, const ingot_rows *source, size_t first, size_t count, float *out) {
  size_t columns = source->columns, width = width_of(source->format) * columns;
  const uint8_t *values = source->values + first * width;
  if (!source->scales) {
    ingot_decode(isa, source->format, values, out, count * columns);
    return;
  }
  size_t blocks = (columns + source->block_columns - 1) / source->block_columns;
  for (size_t row = 0; row < count; row++)
    ingot_decode_block_scaled(
        isa, source->format, values + row * width, source->scales + (first + row) / source->block_rows * blocks,
        source->block_columns, out + row * columns, columns);
}

/// Decodes a tile; how many of its values are finite before the first that is not.
static size_t decode_tile(ingot_isa isa, const ingot_rows *source, size_t first, size_t count, float *tile) {
  ingot_decode_rows(isa, source, first, count, tile);
  return ingot_first_non_finite(isa, tile, count * source->columns);
}

#if defined(INGOT_X86)
/// Whether a row of scales stays away from where products lose bits, and overflow when scaled up by 2^120.
static bool scales_are_plain(const ingot_rows *source, size_t row) {
  size_t blocks = (source->columns + source->block_columns - 1) / source->block_columns;
  const float *scales = source->scales + row / source->block_rows * blocks;
  for (size_t i = 0; i < blocks; i++)
    if (!(scales[i] > 0x1p-60f && scales[i] < 0x1p6f)) return false;
  return true;
}

/// Whether the bodies that go straight from FP8 take these rows in groups of this size, but for the values of scales.
static bool goes_straight(ingot_isa isa, const ingot_rows *source, size_t group) {
  size_t unit = group > 64 ? group : 64;
  return isa == INGOT_AVX512 && source->format == INGOT_F8E4M3 && source->scales &&
         (group == 16 || group == 32 || group == 64 || group == 128) && source->columns % unit == 0 &&
         source->block_columns % unit == 0;
}

static bool tile_is_plain(const ingot_rows *source, size_t first, size_t rows) {
  return rows <= source->block_rows && scales_are_plain(source, first) && scales_are_plain(source, first + rows - 1);
}

/// Whether the row's blocks are others than those of the row before.
static bool begins_blocks(const ingot_rows *source, size_t row) { return row % source->block_rows == 0; }
#endif

size_t ingot_quantize_rows(
    ingot_isa isa, const ingot_rows *source, const ingot_quantize_job *job, uint8_t *zeros, float *tile,
    uint8_t *codes) {
  size_t columns = source->columns, at_once = ingot_tile_rows(columns);
  size_t groups = (columns + job->group - 1) / job->group;
  size_t scale_bytes = groups * width_of(job->storage);
  size_t code_bytes = (columns * job->bits + 7) / 8, zero_bytes = (groups * job->bits + 7) / 8;
  uint8_t *tile_zeros = codes + at_once * columns;
#if defined(INGOT_X86)
  bool straight = goes_straight(isa, source, job->group) && job->group > 16 && !job->search &&
                  job->storage != INGOT_F32;
  ingot_table_job table = {INGOT_TABLE_AFFINE, job->bits, job->storage, NULL, job->group, true};
  bool stale = true;
#endif
  for (size_t first = 0; first < source->rows; first += at_once) {
    size_t rows = source->rows - first < at_once ? source->rows - first : at_once;
#if defined(INGOT_X86)
    if (straight && tile_is_plain(source, first, rows)) {
      for (size_t row = first; row < first + rows; row++) {
        uint8_t *row_zeros = tile_zeros + (row - first) * groups;
        // Codes of 4 and 8 bits come as they are to be.
        bool packed = job->bits == 4 || job->bits == 8;
        uint8_t *row_codes = packed ? job->codes + row * code_bytes : codes;
        bool finite;
        if (job->scheme == INGOT_SYMMETRIC) {
          table.fresh = stale || begins_blocks(source, row);
          stale = false;
          finite = ingot_fp8_tables_avx512(
              &table, source, row, tile, row_codes, job->scales + row * scale_bytes);
        } else {
          finite = ingot_fp8_affine_avx512(
              source, job, row, row_codes, job->scales + row * scale_bytes,
              job->biases ? job->biases + row * scale_bytes : NULL, row_zeros);
        }
        if (!finite) return row * columns;
        if (!packed) ingot_pack(isa, job->bits, codes, job->codes + row * code_bytes, columns);
        if (job->scheme == INGOT_ZERO_POINT)
          ingot_pack(isa, job->bits, row_zeros, zeros + row * zero_bytes, groups);
      }
      continue;
    }
    stale = true;
#endif
    size_t finite = decode_tile(isa, source, first, rows, tile);
    if (finite < rows * columns) return first * columns + finite;
    ingot_quantize_job part = *job;
    part.weights = tile;
    part.rows = rows;
    part.columns = columns;
    part.codes = codes;
    part.scales = job->scales + first * scale_bytes;
    part.zeros = tile_zeros;
    if (job->biases) part.biases = job->biases + first * scale_bytes;
    ingot_quantize(isa, &part);
    for (size_t row = 0; row < rows; row++) {
      ingot_pack(isa, job->bits, codes + row * columns, job->codes + (first + row) * code_bytes, columns);
      if (job->scheme == INGOT_ZERO_POINT)
        ingot_pack(isa, job->bits, tile_zeros + row * groups, zeros + (first + row) * zero_bytes, groups);
    }
  }
  return source->rows * columns;
}

size_t ingot_quantize_rows_micro(
    ingot_isa isa, const ingot_rows *source, const ingot_micro_job *job, float *tile, uint8_t *codes) {
  size_t columns = source->columns, at_once = ingot_tile_rows(columns);
  size_t groups = (columns + job->group - 1) / job->group;
  unsigned bits = job->wide ? 8 : 4;
  size_t code_bytes = (columns * bits + 7) / 8;
#if defined(INGOT_X86)
  bool straight = goes_straight(isa, source, job->group) && !job->search && !job->wide;
  ingot_table_job table = {INGOT_TABLE_MICRO, 4, INGOT_F16, job, job->group, true};
  bool stale = true;
#endif
  for (size_t first = 0; first < source->rows; first += at_once) {
    size_t rows = source->rows - first < at_once ? source->rows - first : at_once;
#if defined(INGOT_X86)
    if (straight && tile_is_plain(source, first, rows)) {
      for (size_t row = first; row < first + rows; row++) {
        table.fresh = stale || begins_blocks(source, row);
        stale = false;
        if (!ingot_fp8_tables_avx512(
                &table, source, row, tile, job->codes + row * code_bytes, job->scales + row * groups))
          return row * columns;
      }
      continue;
    }
    stale = true;
#endif
    size_t finite = decode_tile(isa, source, first, rows, tile);
    if (finite < rows * columns) return first * columns + finite;
    ingot_micro_job part = *job;
    part.weights = tile;
    part.rows = rows;
    part.columns = columns;
    part.codes = codes;
    part.scales = job->scales + first * groups;
    ingot_quantize_micro(isa, &part);
    for (size_t row = 0; row < rows; row++)
      ingot_pack(isa, bits, codes + row * columns, job->codes + (first + row) * code_bytes, columns);
  }
  return source->rows * columns;
}

size_t ingot_quantize_rows_ggml(
    ingot_isa isa, const ingot_rows *source, const ingot_ggml_job *job, float *tile) {
  size_t columns = source->columns, at_once = ingot_tile_rows(columns), weights, bytes;
  ingot_ggml_shape(job->type, &weights, &bytes);
#if defined(INGOT_X86)
  bool straight = goes_straight(isa, source, 32) && !job->search && job->type == INGOT_Q8_0;
  ingot_table_job table = {INGOT_TABLE_Q8_0, 8, INGOT_F16, NULL, 32, true};
  bool stale = true;
#endif
  for (size_t first = 0; first < source->rows; first += at_once) {
    size_t rows = source->rows - first < at_once ? source->rows - first : at_once;
#if defined(INGOT_X86)
    if (straight && tile_is_plain(source, first, rows)) {
      for (size_t row = first; row < first + rows; row++) {
        table.fresh = stale || begins_blocks(source, row);
        stale = false;
        if (!ingot_fp8_tables_avx512(&table, source, row, tile, job->blocks + row * (columns / 32) * 34, NULL))
          return row * columns;
      }
      continue;
    }
    stale = true;
#endif
    size_t finite = decode_tile(isa, source, first, rows, tile);
    if (finite < rows * columns) return first * columns + finite;
    ingot_ggml_job part = *job;
    part.weights = tile;
    part.rows = rows;
    part.columns = columns;
    part.blocks = job->blocks + first * columns / weights * bytes;
    ingot_quantize_ggml(isa, &part);
  }
  return source->rows * columns;
}

size_t ingot_encode_rows(
    ingot_isa isa, const ingot_rows *source, ingot_float format, void *out, float *tile) {
  size_t columns = source->columns, at_once = ingot_tile_rows(columns);
  for (size_t first = 0; first < source->rows; first += at_once) {
    size_t rows = source->rows - first < at_once ? source->rows - first : at_once;
    size_t finite = decode_tile(isa, source, first, rows, tile);
    if (finite < rows * columns) return first * columns + finite;
    ingot_encode(isa, format, tile, (uint8_t *)out + first * columns * width_of(format), rows * columns);
  }
  return source->rows * columns;
}
