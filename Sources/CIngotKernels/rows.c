// Quantizing rows as they are stored: straight to codes where there is a body for that, else a few are decoded into a
// scratch that stays in the second cache, looked over for NaN and infinity, and quantized from there. The result is that
// of decoding and quantizing the whole.
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

/// How rows of a source are quantized: a row straight from its stored form, where that is written, or a tile of decoded
/// ones.
typedef struct row_work {
  ingot_isa isa;
  const ingot_rows *source;
  const void *job;
  float *tile;
  uint8_t *codes, *zeros;  // scratch of a tile; where zero points go
  bool straight;
  bool rounds;  // decoded values to BF16
  size_t last;  // the row that went straight before, or SIZE_MAX
  ingot_straight (*row)(struct row_work *work, size_t row);
  void (*decoded)(const struct row_work *work, size_t first, size_t rows);
} row_work;

/// Whether scales stay away from where products lose bits, and overflow when scaled up by 2^120.
static bool scales_are_plain(const ingot_rows *source, size_t row) {
  if (!source->scales) return true;
  size_t blocks = (source->columns + source->block_columns - 1) / source->block_columns;
  const float *scales = source->scales + row / source->block_rows * blocks;
  for (size_t i = 0; i < blocks; i++)
    if (!(scales[i] > 0x1p-60f && scales[i] < 0x1p6f)) return false;
  return true;
}

/// Whether rows can go straight in groups of this size, but for the values in them.
static bool goes_straight(ingot_isa isa, const ingot_rows *source, size_t group) {
  size_t unit = group > 64 ? group : 64;
  if (isa == INGOT_SCALAR || source->columns % unit != 0) return false;
  if (group != 16 && group != 32 && group != 64 && group != 128) return false;
  if (source->format == INGOT_F8E4M3) return source->scales && source->block_columns % unit == 0;
  return (source->format == INGOT_F16 || source->format == INGOT_BF16) && !source->scales;
}

/// Rows first ..< end that could go straight; the first that could not, or had a value that is not finite.
static size_t rows_straight(row_work *work, size_t first, size_t end, ingot_straight *result) {
  for (size_t row = first; row < end; row++) {
    *result = INGOT_NOT_PLAIN;
    bool begins = work->last == SIZE_MAX || row % work->source->block_rows == 0;
    if (begins && !scales_are_plain(work->source, row)) return row;
    *result = work->row(work, row);
    if (*result != INGOT_DONE) return row;
    work->last = row;
  }
  return end;
}

static size_t each_row(row_work *work) {
  const ingot_rows *source = work->source;
  size_t columns = source->columns, at_once = ingot_tile_rows(columns);
  work->last = SIZE_MAX;
  for (size_t first = 0, rows; first < source->rows; first += rows) {
    if (work->straight) {
      ingot_straight result = INGOT_DONE;
      first = rows_straight(work, first, source->rows, &result);
      if (first == source->rows) break;
      if (result == INGOT_NOT_FINITE) return first * columns;
      work->last = SIZE_MAX;
    }
    rows = source->rows - first < at_once ? source->rows - first : at_once;
    ingot_decode_rows(work->isa, source, first, rows, work->tile);
    if (work->rounds) {
      ingot_encode(work->isa, INGOT_BF16, work->tile, work->codes, rows * columns);
      ingot_decode(work->isa, INGOT_BF16, work->codes, work->tile, rows * columns);
    }
    size_t finite = ingot_first_non_finite(work->isa, work->tile, rows * columns);
    if (finite < rows * columns) return first * columns + finite;
    work->decoded(work, first, rows);
  }
  return source->rows * columns;
}

#if defined(INGOT_X86)
/// Whether tables for the row before are of no use for this one.
static bool blocks_are_fresh(const row_work *work, size_t row) {
  return work->last == SIZE_MAX || row % work->source->block_rows == 0;
}
#endif

// ---- affine ------------------------------------------------------------------------------------------

static size_t code_bytes(const ingot_rows *source, unsigned bits) { return (source->columns * bits + 7) / 8; }

static size_t groups_of(const ingot_rows *source, size_t group) { return (source->columns + group - 1) / group; }

static ingot_straight affine_row(row_work *work, size_t row) {
  const ingot_quantize_job *job = work->job;
  const ingot_rows *source = work->source;
  size_t groups = groups_of(source, job->group), scale_bytes = groups * width_of(job->storage);
  uint8_t *packed = job->codes + row * code_bytes(source, job->bits);
  // Codes of 4 and 8 bits come as they are to be.
  bool as_wanted = job->bits == 4 || job->bits == 8;
  ingot_affine_planes out = {
      as_wanted ? packed : work->codes, job->scales + row * scale_bytes,
      job->biases ? job->biases + row * scale_bytes : NULL, work->codes + source->columns};
  ingot_straight result;
#if defined(INGOT_X86)
  if (work->isa == INGOT_AVX512 && source->format == INGOT_F8E4M3 && job->scheme == INGOT_SYMMETRIC) {
    ingot_table_job table = {
        INGOT_TABLE_AFFINE, job->bits, job->storage, NULL, job->group, blocks_are_fresh(work, row)};
    result = ingot_fp8_tables_avx512(&table, source, row, work->tile, out.codes, out.scales);
  } else
#endif
    result = INGOT_STRAIGHT(work->isa, ingot_affine_row, source, job, row, &out);
  if (result != INGOT_DONE) return result;
  if (!as_wanted) ingot_pack(work->isa, job->bits, work->codes, packed, source->columns);
  if (job->scheme == INGOT_ZERO_POINT)
    ingot_pack(work->isa, job->bits, out.zeros, work->zeros + row * ((groups * job->bits + 7) / 8), groups);
  return INGOT_DONE;
}

static void affine_decoded(const row_work *work, size_t first, size_t rows) {
  const ingot_quantize_job *job = work->job;
  size_t columns = work->source->columns, groups = groups_of(work->source, job->group);
  size_t packed = code_bytes(work->source, job->bits), scale_bytes = groups * width_of(job->storage);
  ingot_quantize_job part = *job;
  part.weights = work->tile;
  part.rows = rows;
  part.columns = columns;
  part.codes = work->codes;
  part.scales = job->scales + first * scale_bytes;
  part.zeros = work->codes + ingot_tile_rows(columns) * columns;
  if (job->biases) part.biases = job->biases + first * scale_bytes;
  ingot_quantize(work->isa, &part);
  for (size_t row = 0; row < rows; row++) {
    ingot_pack(work->isa, job->bits, part.codes + row * columns, job->codes + (first + row) * packed, columns);
    if (job->scheme == INGOT_ZERO_POINT)
      ingot_pack(
          work->isa, job->bits, part.zeros + row * groups,
          work->zeros + (first + row) * ((groups * job->bits + 7) / 8), groups);
  }
}

size_t ingot_quantize_rows(
    ingot_isa isa, const ingot_rows *source, const ingot_quantize_job *job, uint8_t *zeros, float *tile,
    uint8_t *codes) {
  bool straight = goes_straight(isa, source, job->group) && job->group > 16 && !job->search && !job->mlx &&
                  job->storage != INGOT_F32;
  row_work work = {isa, source, job, tile, codes, zeros, straight, job->mlx, 0, affine_row, affine_decoded};
  return each_row(&work);
}

// ---- micro-scaled ------------------------------------------------------------------------------------

static ingot_straight micro_row(row_work *work, size_t row) {
  const ingot_micro_job *job = work->job;
  const ingot_rows *source = work->source;
  uint8_t *codes = job->codes + row * code_bytes(source, job->wide ? 8 : 4);
  uint8_t *scales = job->scales + row * groups_of(source, job->group);
#if defined(INGOT_X86)
  if (work->isa == INGOT_AVX512 && source->format == INGOT_F8E4M3 && !job->wide) {
    ingot_table_job table = {INGOT_TABLE_MICRO, 4, INGOT_F16, job, job->group, blocks_are_fresh(work, row)};
    return ingot_fp8_tables_avx512(&table, source, row, work->tile, codes, scales);
  }
#endif
  return INGOT_STRAIGHT(work->isa, ingot_micro_row, job, source, row, codes, scales);
}

static void micro_decoded(const row_work *work, size_t first, size_t rows) {
  const ingot_micro_job *job = work->job;
  size_t columns = work->source->columns;
  unsigned bits = job->wide ? 8 : 4;
  ingot_micro_job part = *job;
  part.weights = work->tile;
  part.rows = rows;
  part.columns = columns;
  part.codes = work->codes;
  part.scales = job->scales + first * groups_of(work->source, job->group);
  ingot_quantize_micro(work->isa, &part);
  for (size_t row = 0; row < rows; row++)
    ingot_pack(
        work->isa, bits, part.codes + row * columns, job->codes + (first + row) * code_bytes(work->source, bits),
        columns);
}

size_t ingot_quantize_rows_micro(
    ingot_isa isa, const ingot_rows *source, const ingot_micro_job *job, float *tile, uint8_t *codes) {
  // Straight: E4M3 scales go with E2M1 in groups of 16, powers of two with groups of 32.
  bool known = job->powers ? job->group == 32 : job->group == 16 && !job->wide && job->global == 1;
  bool straight = goes_straight(isa, source, job->group) && !job->search && known;
  row_work work = {isa, source, job, tile, codes, NULL, straight, false, 0, micro_row, micro_decoded};
  return each_row(&work);
}

// ---- GGML blocks -------------------------------------------------------------------------------------

static ingot_straight ggml_row(row_work *work, size_t row) {
  const ingot_ggml_job *job = work->job;
  const ingot_rows *source = work->source;
  size_t weights, bytes;
  ingot_ggml_shape(job->type, &weights, &bytes);
  uint8_t *blocks = job->blocks + row * source->columns / weights * bytes;
#if defined(INGOT_X86)
  bool bytes_each = job->type == INGOT_Q8_0;
  if (work->isa == INGOT_AVX512 && source->format == INGOT_F8E4M3 && (bytes_each || job->type == INGOT_Q4_0)) {
    ingot_table_job table = {
        bytes_each ? INGOT_TABLE_Q8_0 : INGOT_TABLE_Q4_0, 8, INGOT_F16, NULL, 32, blocks_are_fresh(work, row)};
    return ingot_fp8_tables_avx512(&table, source, row, work->tile, blocks, NULL);
  }
#endif
  return INGOT_STRAIGHT(work->isa, ingot_ggml_row, job->type, source, row, blocks);
}

static void ggml_decoded(const row_work *work, size_t first, size_t rows) {
  const ingot_ggml_job *job = work->job;
  size_t columns = work->source->columns, weights, bytes;
  ingot_ggml_shape(job->type, &weights, &bytes);
  ingot_ggml_job part = *job;
  part.weights = work->tile;
  part.rows = rows;
  part.columns = columns;
  part.blocks = job->blocks + first * columns / weights * bytes;
  ingot_quantize_ggml(work->isa, &part);
}

size_t ingot_quantize_rows_ggml(
    ingot_isa isa, const ingot_rows *source, const ingot_ggml_job *job, float *tile) {
  bool known = job->type == INGOT_Q4_0 || job->type == INGOT_Q4_1 || job->type == INGOT_Q5_0 ||
               job->type == INGOT_Q5_1 || job->type == INGOT_Q8_0;
  bool straight = known && goes_straight(isa, source, 32) && !job->search;
  row_work work = {isa, source, job, tile, NULL, NULL, straight, false, 0, ggml_row, ggml_decoded};
  return each_row(&work);
}

// ---- floats ------------------------------------------------------------------------------------------

typedef struct {
  ingot_float format;
  uint8_t *out;
} encode_job;

static void encode_decoded(const row_work *work, size_t first, size_t rows) {
  const encode_job *job = work->job;
  size_t columns = work->source->columns;
  ingot_encode(
      work->isa, job->format, work->tile, job->out + first * columns * width_of(job->format), rows * columns);
}

size_t ingot_encode_rows(
    ingot_isa isa, const ingot_rows *source, ingot_float format, void *out, float *tile) {
  encode_job job = {format, out};
  row_work work = {isa, source, &job, tile, NULL, NULL, false, false, 0, NULL, encode_decoded};
  return each_row(&work);
}
