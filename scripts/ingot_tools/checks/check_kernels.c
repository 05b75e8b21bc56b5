// Holds the bodies of an instruction set against the scalar reference, bit for bit, over random and hostile inputs.
// scripts/tools check-neon runs it where no machine has the instruction set; the tests in Tests/KernelsTests go further.
//
// usage: check_kernels [SEEDS]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckernels.h"

static uint64_t state;
static int failures, comparisons;
static const char *isa_names[] = {"scalar", "avx2", "avx512", "neon"};

static uint64_t random_bits(void) {
  state += 0x9E3779B97F4A7C15;
  uint64_t z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

static double uniform(void) { return (double)(random_bits() >> 11) * 0x1p-53; }

/// About normal.
static float normal(void) {
  double sum = 0;
  for (int i = 0; i < 12; i++) sum += uniform();
  return (float)(sum - 6);
}

enum { MOST_BYTES = 1 << 19 };
static uint8_t wanted[3][MOST_BYTES], made[3][MOST_BYTES], scratch[1 << 21] __attribute__((aligned(64)));
static float tile[1 << 20] __attribute__((aligned(64)));

static void compare(const char *what, ingot_isa isa, size_t finite, size_t expected, size_t count) {
  comparisons++;
  bool bad = (finite == count) != (expected == count);
  size_t at = 0, plane = 0;
  for (size_t p = 0; p < 3 && !bad && expected == count; p++)
    for (size_t i = 0; i < MOST_BYTES && !bad; i++)
      if (wanted[p][i] != made[p][i]) {
        bad = true;
        at = i;
        plane = p;
      }
  if (!bad) return;
  if (failures++ < 20)
    printf("%s, %s: finite %zu, expected %zu; plane %zu byte %zu: %d, expected %d\n", what, isa_names[isa], finite,
           expected, plane, at, made[plane][at], wanted[plane][at]);
}

// ---- rows --------------------------------------------------------------------------------------------

typedef enum { NORMAL, TIES, WIDE, TINY, HUGE_ONES, ZEROS, BROKEN, KINDS } sample_kind;
static const char *kind_names[] = {"normal", "ties", "wide", "tiny", "huge", "zeros", "not finite"};

static uint8_t values[1 << 18];
static float scales[1 << 10], importance[1 << 12];

static float sample(sample_kind kind, size_t j) {
  float x = normal() * 0.02f;
  switch (kind) {
    case TIES: return (float)(int)(normal() * 3) * 0.25f;
    case WIDE: return x * (float)(1 << (j % 23)) * (j % 61 == 0 ? 100.0f : 1.0f);
    case TINY: return x * (j % 3 == 0 ? 0x1p-120f : 0x1p-20f);
    case HUGE_ONES: return x * (j % 5 == 0 ? 0x1p120f : 0x1p18f);
    case ZEROS: return j / 48 % 3 == 0 ? (j % 2 == 0 ? 0.0f : -0.0f) : j % 7 == 0 ? x : -0.0f;
    default: return x;
  }
}

static ingot_rows make_rows(ingot_float format, size_t rows, size_t columns, size_t block, sample_kind kind) {
  ingot_rows source = {format, values, NULL, 1, 1, rows, columns};
  size_t count = rows * columns;
  if (format == INGOT_F8E4M3 || format == INGOT_F8E5M2) {
    source.scales = scales;
    source.block_rows = 3;
    source.block_columns = block;
    size_t blocks = (rows + 2) / 3 * ((columns + block - 1) / block);
    for (size_t i = 0; i < blocks; i++)
      scales[i] = kind == TIES ? 0.25f : (float)(0.0004 * (0.25 + uniform()));
    if (kind == TINY && blocks > 1) scales[1] = 3e-40f;
    if (kind == HUGE_ONES && blocks > 1) scales[1] = 700;
    unsigned most = format == INGOT_F8E4M3 ? 0x7E : 0x7B;
    for (size_t j = 0; j < count; j++) {
      int magnitude = (int)most - (int)(8 * (normal() < 0 ? -normal() : normal()) + 25 * uniform() * uniform());
      if (kind == WIDE) magnitude = (int)(uniform() * (most + 1));
      if (kind == ZEROS) magnitude = j / 48 % 3 == 0 ? 0 : j % 7 == 0 ? 5 : 0;
      if (magnitude < 0) magnitude = 0;
      values[j] = (uint8_t)((unsigned)magnitude | (random_bits() & 1 ? 0x80 : 0));
    }
    if (kind == BROKEN) values[random_bits() % count] = random_bits() & 1 ? 0x7F : 0xFF;
  } else {
    for (size_t j = 0; j < count; j++) tile[j] = sample(kind, j);
    ingot_encode(INGOT_SCALAR, format, tile, values, count);
    size_t width = format == INGOT_F32 ? 4 : 2;
    const uint8_t infinity[4] = {0, 0, 0x80, 0xFF}, half[2] = {1, 0x7C};
    if (kind == BROKEN) {
      const uint8_t *from = format == INGOT_F16 ? half : infinity + 4 - width;
      memcpy(values + random_bits() % count * width, from, width);
    }
  }
  for (size_t j = 0; j < columns; j++) importance[j] = (float)(uniform() * (j / 32 % 3 == 1 ? 0 : 5));
  return source;
}

/// One way of quantizing rows.
typedef struct {
  enum { AFFINE, GGML, MICRO, ENCODE } way;
  unsigned bits;
  size_t group;
  ingot_scheme scheme;
  ingot_float storage;
  int type;
  bool wide, powers, search, weighed, mlx;
} method;

static size_t run_method(ingot_isa isa, const ingot_rows *source, const method *m, uint8_t out[3][MOST_BYTES]) {
  for (int p = 0; p < 3; p++) memset(out[p], 0xAA, MOST_BYTES);
  memset(tile, 0x55, ingot_tile_bytes(source->columns));
  const float *h = m->weighed ? importance : NULL;
  switch (m->way) {
    case AFFINE: {
      ingot_quantize_job job = {0};
      job.importance = h;
      job.group = m->group;
      job.bits = m->bits;
      job.scheme = m->scheme;
      job.storage = m->storage;
      job.search = m->search;
      job.mlx = m->mlx;
      job.codes = out[0];
      job.scales = out[1];
      if (m->scheme == INGOT_BIAS) job.biases = out[2];
      return ingot_quantize_rows(isa, source, &job, out[2], tile, scratch);
    }
    case GGML: {
      ingot_ggml_job job = {0};
      job.type = (ingot_ggml)m->type;
      job.importance = h;
      job.search = m->search;
      job.blocks = out[0];
      return ingot_quantize_rows_ggml(isa, source, &job, tile);
    }
    case MICRO: {
      ingot_micro_job job = {0};
      job.importance = h;
      job.group = m->group;
      job.wide = m->wide;
      job.powers = m->powers;
      job.search = m->search;
      job.global = 1;
      job.codes = out[0];
      job.scales = out[1];
      return ingot_quantize_rows_micro(isa, source, &job, tile, scratch);
    }
    case ENCODE: return ingot_encode_rows(isa, source, m->storage, out[0], tile);
  }
  return 0;
}

static void check_method(const ingot_rows *source, const method *m, const char *what, ingot_isa only) {
  size_t count = source->rows * source->columns, expected = run_method(INGOT_SCALAR, source, m, wanted);
  for (ingot_isa isa = INGOT_AVX2; isa <= INGOT_NEON; isa++)
    if (ingot_isa_supported(isa) && (only == INGOT_SCALAR || isa == only))
      compare(what, isa, run_method(isa, source, m, made), expected, count);
}

static void check_rows(ingot_float format, size_t rows, size_t columns, size_t block, sample_kind kind) {
  static const char *formats[] = {"F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"};
  ingot_rows source = make_rows(format, rows, columns, block, kind);
  char what[256], where[128];
  snprintf(where, sizeof where, "%s %zux%zu b%zu %s", formats[format], rows, columns, block, kind_names[kind]);
  const size_t groups[] = {32, 64, 128, 48, 320};
  for (int scheme = 0; scheme < 3; scheme++)
    for (unsigned bits = 2; bits <= 8; bits++)
      for (int g = 0; g < 5; g++) {
        bool searched = bits == 4 && g < 5 && kind != HUGE_ONES;
        method m = {AFFINE, bits, groups[g], (ingot_scheme)scheme, (ingot_float)((bits + (unsigned)g) % 3), 0,
                    false,  false, false, false, false};
        for (int search = 0; search < (searched ? 3 : 1); search++) {
          m.search = search > 0;
          m.weighed = search > 1;
          snprintf(what, sizeof what, "%s to int%u g%zu scheme %d storage %d search %d", where, bits, groups[g], scheme,
                   m.storage, search);
          check_method(&source, &m, what, INGOT_SCALAR);
        }
        if (scheme != INGOT_BIAS) continue;
        m.search = m.weighed = false;
        m.mlx = true;
        check_method(&source, &m, "as MLX", INGOT_SCALAR);
      }
  const int types[] = {2, 3, 6, 7, 8, 39, 10, 11, 12, 13, 14, 20, 23};
  for (int t = 0; t < 13; t++) {
    size_t weights, bytes;
    ingot_ggml_shape(types[t], &weights, &bytes);
    if (columns % weights != 0) continue;
    for (int search = t < 6 ? 0 : 1; search < 3; search++) {
      method m = {GGML, 0, 0, INGOT_SYMMETRIC, INGOT_F16, types[t], false, false, search > 0, search > 1, false};
      snprintf(what, sizeof what, "%s to GGML %d search %d", where, types[t], search);
      check_method(&source, &m, what, INGOT_SCALAR);
    }
  }
  for (int k = 0; k < 6; k++)
    for (int search = 0; search < 3; search++) {
      method m = {MICRO, 0, k % 2 == 0 ? 32 : 16, INGOT_SYMMETRIC, INGOT_F16, 0, k >= 4, k % 2 == (k < 2 ? 0 : k < 4),
                  search > 0, search > 1, false};
      snprintf(what, sizeof what, "%s to micro g%zu wide %d powers %d search %d", where, m.group, m.wide, m.powers,
               search);
      check_method(&source, &m, what, INGOT_SCALAR);
    }
  for (int storage = 0; storage < 3; storage++) {
    method m = {ENCODE, 0, 0, INGOT_SYMMETRIC, (ingot_float)storage, 0, false, false, false, false, false};
    snprintf(what, sizeof what, "%s to %s", where, formats[storage]);
    check_method(&source, &m, what, INGOT_SCALAR);
  }
}

// ---- codes, floats, sums -----------------------------------------------------------------------------

static void check_small(size_t count) {
  for (size_t j = 0; j < count * 4 + 64; j++) values[j] = (uint8_t)random_bits();
  for (ingot_isa isa = INGOT_AVX2; isa <= INGOT_NEON; isa++) {
    if (!ingot_isa_supported(isa)) continue;
    char what[128];
    for (int p = 0; p < 3; p++) {
      memset(wanted[p], 0xAA, MOST_BYTES);
      memset(made[p], 0xAA, MOST_BYTES);
    }
    for (int format = 0; format < 5; format++) {
      ingot_decode(INGOT_SCALAR, (ingot_float)format, values, (float *)(void *)wanted[0], count);
      ingot_decode(isa, (ingot_float)format, values, (float *)(void *)made[0], count);
      snprintf(what, sizeof what, "decode %d of %zu", format, count);
      compare(what, isa, 0, 0, 0);
      if (format < 3) {
        ingot_encode(INGOT_SCALAR, (ingot_float)format, (const float *)(void *)wanted[0], wanted[1], count);
        ingot_encode(isa, (ingot_float)format, (const float *)(void *)wanted[0], made[1], count);
        snprintf(what, sizeof what, "encode %d of %zu", format, count);
        compare(what, isa, 0, 0, 0);
      }
    }
    for (unsigned bits = 1; bits <= 8; bits++) {
      ingot_pack(INGOT_SCALAR, bits, values, wanted[0], count);
      ingot_pack(isa, bits, values, made[0], count);
      ingot_unpack(INGOT_SCALAR, bits, values, wanted[1], count);
      ingot_unpack(isa, bits, values, made[1], count);
      snprintf(what, sizeof what, "pack %u of %zu", bits, count);
      compare(what, isa, 0, 0, 0);
    }
    const int types[] = {2,  3,  6,  7,  8,  39, 10, 11, 12, 13, 14, 20, 23,
                         16, 17, 18, 19, 21, 22, 29, 34, 35, 40, 41, 42};
    for (int t = 0; t < 25; t++) {
      size_t weights, bytes;
      ingot_ggml_shape(types[t], &weights, &bytes);
      size_t blocks = count / weights;
      for (size_t i = 0; i < blocks; i++) {
        // Scales that are finite.
        values[i * bytes + 1] &= 0x3B;
        values[i * bytes + bytes - 1] &= 0x3B;
        values[i * bytes + 3] &= 0x3B;
      }
      ingot_decode_ggml(INGOT_SCALAR, (ingot_ggml)types[t], values, (float *)(void *)wanted[0], blocks);
      ingot_decode_ggml(isa, (ingot_ggml)types[t], values, (float *)(void *)made[0], blocks);
      // A NaN's payload is no part of what is promised.
      for (size_t j = 0; j < blocks * weights; j++) {
        float a, b;
        memcpy(&a, wanted[0] + 4 * j, 4);
        memcpy(&b, made[0] + 4 * j, 4);
        if (a != a && b != b) memcpy(made[0] + 4 * j, wanted[0] + 4 * j, 4);
      }
      snprintf(what, sizeof what, "decode GGML %d, %zu blocks", types[t], blocks);
      compare(what, isa, 0, 0, 0);
    }
    float *a = tile, *b = tile + count, *h = tile + 2 * count;
    for (size_t j = 0; j < count; j++) {
      a[j] = normal();
      b[j] = normal();
      h[j] = (float)uniform();
    }
    double errors[4] = {ingot_squared_error(INGOT_SCALAR, a, b, h, count), ingot_squared_error(isa, a, b, h, count),
                        ingot_squared_error(INGOT_SCALAR, a, b, NULL, count),
                        ingot_squared_error(isa, a, b, NULL, count)};
    memcpy(wanted[2], errors, 8);
    memcpy(made[2], errors + 1, 8);
    memcpy(wanted[2] + 8, errors + 2, 8);
    memcpy(made[2] + 8, errors + 3, 8);
    uint64_t hashes[2] = {ingot_xxh3_hash(INGOT_SCALAR, values, count), ingot_xxh3_hash(isa, values, count)};
    memcpy(wanted[2] + 16, hashes, 8);
    memcpy(made[2] + 16, hashes + 1, 8);
    for (size_t j = 0; j < count / 16 + 1; j++) scales[j % 1024] = normal();
    for (size_t group = 16; group <= 64; group += 16) {
      ingot_decode_e2m1(INGOT_SCALAR, values, scales, group, (float *)(void *)wanted[0], count);
      ingot_decode_e2m1(isa, values, scales, group, (float *)(void *)made[0], count);
      for (unsigned bits = 2; bits <= 8; bits++) {
        ingot_affine_row row = {values, bits, count, group, scales, bits % 2 ? scales + 1 : NULL, NULL, 7, NULL};
        row.out = (float *)(void *)wanted[1];
        ingot_decode_affine(INGOT_SCALAR, &row);
        row.out = (float *)(void *)made[1];
        ingot_decode_affine(isa, &row);
        snprintf(what, sizeof what, "decode int%u g%zu of %zu, error, hash", bits, group, count);
        compare(what, isa, 0, 0, 0);
      }
    }
  }
}

// ---- products ----------------------------------------------------------------------------------------

static void check_products(ingot_float format, size_t rows, size_t columns, size_t block, size_t tokens) {
  ingot_rows source = make_rows(format, rows, columns, block, NORMAL);
  static float x[40 * 2100];
  for (size_t j = 0; j < tokens * columns; j++) x[j] = normal();
  for (int p = 0; p < 3; p++) {
    memset(wanted[p], 0xAA, MOST_BYTES);
    memset(made[p], 0xAA, MOST_BYTES);
  }
  ingot_multiply_rows(INGOT_SCALAR, &source, x, tokens, (float *)(void *)wanted[0], tile);
  for (ingot_isa isa = INGOT_AVX2; isa <= INGOT_NEON; isa++) {
    if (!ingot_isa_supported(isa)) continue;
    ingot_multiply_rows(isa, &source, x, tokens, (float *)(void *)made[0], tile);
    compare("product", isa, 0, 0, 0);
  }
}

static void multiply_codes(ingot_isa isa, int rounded, const ingot_coded *c, const float *x, size_t tokens, float *y) {
  if (rounded) ingot_multiply_rounded(isa, c, x, tokens, y, tile);
  else ingot_multiply_coded(isa, c, x, tokens, y, tile);
}

/// Codes of a GGML type, or affine ones with parameters of a storage; `scheme` 0 is symmetric, 1 has zero points, 2 biases.
static void check_codes(int type, unsigned bits, ingot_float storage, int scheme, size_t rows, size_t columns, size_t tokens) {
  static float x[40 * 1100];
  static uint8_t parameters[3][1 << 14];
  ingot_coded c = {.type = type, .codes = values, .rows = rows, .columns = columns, .bits = bits, .storage = storage};
  c.group = columns % 48 == 0 ? 48 : 32;
  for (size_t j = 0; j < tokens * columns; j++) x[j] = normal();
  // Halves and floats of such bytes are finite.
  for (size_t j = 0; j < sizeof values; j++) values[j] = (uint8_t)random_bits() & (type == INGOT_PLANES ? 0xFF : 0x3B);
  for (int p = 0; p < 3; p++)
    for (size_t j = 0; j < sizeof parameters[p]; j++) parameters[p][j] = (uint8_t)random_bits() & (p == 2 ? 0xFF : 0x3B);
  c.scales = parameters[0];
  if (scheme == 0) c.zero = 1 << (bits - 1);
  if (scheme == 1) c.zeros = parameters[2];
  if (scheme == 2) c.biases = parameters[1];
  for (int rounded = 0; rounded < (ingot_multiplies_rounded(&c) ? 2 : 1); rounded++) {
    if (rounded) {
      // Steps of all sizes, and of none.
      for (size_t j = 0; j < 32; j++) x[j] = 0, x[columns - 1 - j] *= j % 2 ? 0x1p-110f : 0x1p-126f;
      x[32] = 0x1p100f;
    }
    for (int p = 0; p < 3; p++) memset(wanted[p], 0xAA, MOST_BYTES);
    multiply_codes(INGOT_SCALAR, rounded, &c, x, tokens, (float *)(void *)wanted[0]);
    for (ingot_isa isa = INGOT_AVX2; isa <= INGOT_NEON; isa++) {
      if (!ingot_isa_supported(isa)) continue;
      for (int p = 0; p < 3; p++) memset(made[p], 0xAA, MOST_BYTES);
      multiply_codes(isa, rounded, &c, x, tokens, (float *)(void *)made[0]);
      char what[160];
      snprintf(what, sizeof what, "codes: type %d, %u bits, scheme %d, %zux%zu, %zu tokens%s", type, bits, scheme, rows, columns,
               tokens, rounded ? ", rounded" : "");
      compare(what, isa, 0, 0, 0);
    }
  }
}

static void check_all_codes(size_t tokens) {
  static const int types[] = {2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 29, 39};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    check_codes(types[i], 4, INGOT_F32, 0, 37, 768, tokens);
    check_codes(types[i], 4, INGOT_F32, 0, 3, 256, tokens);
  }
  for (unsigned bits = 2; bits <= 8; bits++)
    for (int storage = INGOT_F32; storage <= INGOT_BF16; storage++)
      for (int scheme = 0; scheme < 3; scheme++) {
        check_codes(INGOT_PLANES, bits, (ingot_float)storage, scheme, 33, 768, tokens);
        check_codes(INGOT_PLANES, bits, (ingot_float)storage, scheme, 18, 544, tokens);
        check_codes(INGOT_PLANES, bits, (ingot_float)storage, scheme, 5, 300, tokens);
      }
}

/// A product of matrices whose rows lie a little apart; `kind` says which are turned and whether c is a triangle.
static void check_matrices(size_t m, size_t n, size_t k, unsigned kind) {
  static float a[1 << 18], b[1 << 19];
  bool lower = kind & 4;
  if (lower) n = m;
  ingot_product p = {0};
  p.m = m, p.n = n, p.k = k, p.a = a, p.b = b, p.a_turned = kind & 1, p.b_turned = kind & 2, p.lower = lower;
  p.lda = (p.a_turned ? m : k) + 3, p.ldb = (p.b_turned ? n : k) + 1, p.ldc = n + 2;
  p.alpha = kind & 8 ? -0.7f : 1, p.beta = kind & 16 ? 0.3f : 0;
  size_t in_a = (p.a_turned ? k : m) * p.lda, in_b = (p.b_turned ? k : n) * p.ldb;
  if (in_a > 1 << 18 || in_b > 1 << 19 || m * p.ldc * 4 > MOST_BYTES) return;
  for (size_t j = 0; j < in_a; j++) a[j] = normal();
  for (size_t j = 0; j < in_b; j++) b[j] = normal();
  for (int plane = 0; plane < 3; plane++) memset(wanted[plane], 0x3E, MOST_BYTES);
  p.c = (float *)(void *)wanted[0];
  ingot_multiply(INGOT_SCALAR, &p, tile);
  for (ingot_isa isa = INGOT_AVX2; isa <= INGOT_NEON; isa++) {
    if (!ingot_isa_supported(isa)) continue;
    for (int plane = 0; plane < 3; plane++) memset(made[plane], 0x3E, MOST_BYTES);
    p.c = (float *)(void *)made[0];
    ingot_multiply(isa, &p, tile);
    char what[128];
    snprintf(what, sizeof what, "product %zux%zux%zu kind %u", m, n, k, kind);
    compare(what, isa, 0, 0, 0);
  }
}

/// The inverse of a Cholesky factor.
static void check_factor(size_t n) {
  static float x[400 * 360];
  for (size_t j = 0; j < (n + 40) * n; j++) x[j] = normal();
  for (int plane = 0; plane < 3; plane++) memset(wanted[plane], 0x7F, MOST_BYTES), memset(made[plane], 0x7F, MOST_BYTES);
  ingot_product p = {0};
  p.m = p.n = n, p.k = n + 40, p.a = x, p.b = x, p.a_turned = p.b_turned = true, p.lower = true;
  p.lda = p.ldb = p.ldc = n, p.alpha = 1;
  p.c = (float *)(void *)wanted[0];
  ingot_multiply(INGOT_SCALAR, &p, tile);
  memcpy(made[1], wanted[0], n * n * 4);
  bool expected = ingot_invert_cholesky(INGOT_SCALAR, n, p.c, tile);
  for (ingot_isa isa = INGOT_AVX2; isa <= INGOT_NEON; isa++) {
    if (!ingot_isa_supported(isa)) continue;
    memcpy(made[0], made[1], n * n * 4);
    memcpy(wanted[1], made[1], n * n * 4);
    bool definite = ingot_invert_cholesky(isa, n, (float *)(void *)made[0], tile);
    compare("inverse of a Cholesky factor", isa, definite, expected, 1);
  }
}

// ---- trellis codes -----------------------------------------------------------------------------------

static void check_trellis(unsigned halves, unsigned window, size_t rows, size_t columns) {
  static int16_t book[1 << 16];
  static float weights[1 << 14], left[1 << 14], row_scales[1 << 11], inverses[1 << 11], column_scales[64];
  static uint8_t work[1 << 23] __attribute__((aligned(64)));
  ingot_trellis trellis = {halves, window, 256};
  ingot_trellis_book(window, book);
  uint32_t order[64];
  for (size_t row = 0; row < rows; row++) {
    row_scales[row] = (float)(0.005 * (0.5 + uniform()));
    inverses[row] = 1 / row_scales[row];
  }
  for (size_t column = 0; column < columns; column++) {
    column_scales[column] = (float)(0.5 + uniform());
    order[column] = (uint32_t)(columns - 1 - column);
  }
  for (size_t i = 0; i < rows * columns; i++) weights[i] = normal() * (i % 97 == 0 ? 9 : 1);
  if (ingot_trellis_scratch(&trellis) > sizeof work) return;
  for (ingot_isa isa = INGOT_SCALAR; isa <= INGOT_NEON; isa++) {
    if (!ingot_isa_supported(isa)) continue;
    uint8_t(*out)[MOST_BYTES] = isa == INGOT_SCALAR ? wanted : made;
    for (int p = 0; p < 3; p++) memset(out[p], 0xAA, MOST_BYTES);
    memcpy(left, weights, sizeof left);
    ingot_trellis_job job = {trellis, book, rows, columns, row_scales, inverses, column_scales, out[0]};
    ingot_trellis_columns(isa, &job, order, columns, left, NULL, 0, (float *)(void *)out[1], tile, work);
    ingot_decode_trellis(
        isa, &trellis, out[0], rows, columns, row_scales, column_scales, (float *)(void *)out[2]);
    char what[128];
    snprintf(what, sizeof what, "trellis %u w%u %zux%zu", halves, window, rows, columns);
    if (isa != INGOT_SCALAR) compare(what, isa, 0, 0, 0);
  }
}

int main(int arguments, char **argument) {
  int seeds = arguments > 1 ? atoi(argument[1]) : 1;
  printf("instruction sets:");
  for (ingot_isa isa = INGOT_SCALAR; isa <= INGOT_NEON; isa++)
    if (ingot_isa_supported(isa)) printf(" %s", isa_names[isa]);
  printf("\n");
  for (int seed = 0; seed < seeds; seed++) {
    state = (uint64_t)seed;
    for (int format = 0; format < 5; format++)
      for (int kind = 0; kind < KINDS; kind++) {
        check_rows((ingot_float)format, 5, 512, 128, (sample_kind)kind);
        check_rows((ingot_float)format, 4, 1216, 64, (sample_kind)kind);
        if (kind == NORMAL || kind == BROKEN) check_rows((ingot_float)format, 3, 160, 96, (sample_kind)kind);
      }
    for (int format = 0; format < 5; format++)
      for (size_t tokens = 1; tokens <= 40; tokens += tokens < 16 ? 1 : 8) {
        check_products((ingot_float)format, 6, 2080, 128, tokens);
        check_products((ingot_float)format, 5, 100, 40, tokens);
        check_products((ingot_float)format, 3, 2090, 2000, tokens);
      }
    for (size_t tokens = 1; tokens <= 9; tokens += tokens == 1 ? 2 : 6) check_all_codes(tokens);
    for (unsigned kind = 0; kind < 32; kind++) {
      check_matrices(1, 17, 520, kind);
      check_matrices(7, 33, 300, kind);
      check_matrices(13, 70, 256, kind);
      check_matrices(300, 90, 70, kind);
      check_matrices(40, 1100, 5, kind);
    }
    for (size_t n = 1; n < 330; n += n % 2 == 0 ? 1 : 62) check_factor(n);
    for (unsigned halves = 3; halves <= 8; halves++) {
      check_trellis(halves, 8, 70, 3);
      check_trellis(halves, 9, 300, 17);
      check_trellis(halves, 12, 257, 2);
    }
    for (size_t count = 0; count < 70; count += 7) check_small(count);
    check_small(1000);
    check_small(4096);
  }
  printf("%d comparisons, %d failures\n", comparisons, failures);
  return failures > 0;
}
