#include "products.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

#if defined(INGOT_BLAS) && defined(__APPLE__)
#define ACCELERATE_NEW_LAPACK
#include <Accelerate/Accelerate.h>
#elif defined(INGOT_BLAS)
#include <cblas.h>
#include <unistd.h>
#endif

#if defined(INGOT_BLAS)
void spotrf_(const char *, const int *, float *, const int *, int *);
void strtri_(const char *, const char *, const int *, float *, const int *, int *);
#endif

void take_best_blas(char **arguments) {
#if defined(INGOT_BLAS) && !defined(__APPLE__)
  const char *core = getenv("OPENBLAS_CORETYPE") ? NULL : better_blas_core(openblas_get_corename());
  if (core) {
    setenv("OPENBLAS_CORETYPE", core, 1);
    execv("/proc/self/exe", arguments);
  }
  openblas_set_num_threads(1);
#else
  (void)arguments;
#endif
}

const char *blas_name(void) {
#if defined(INGOT_BLAS) && defined(__APPLE__)
  return "Accelerate";
#elif defined(INGOT_BLAS)
  static char name[64];
  snprintf(name, sizeof name, "OpenBLAS for %s", openblas_get_corename());
  return name;
#else
  return "none";
#endif
}

static float *random_floats(size_t count) {
  float *out = aligned_alloc(4096, (count * sizeof(float) + 4095) / 4096 * 4096);
  for (size_t j = 0; j < count; j++) out[j] = (float)uniform() - 0.5f;
  return out;
}

/// Tokens through one projection: straight from the rows as they are stored, and from decoded ones.
static void time_matmul(const ingot_rows *weights, int count, size_t tokens, int rounds, double peak) {
  double stored[MOST_ROUNDS], dense[MOST_ROUNDS], blas[MOST_ROUNDS];
  size_t rows = weights->rows, columns = weights->columns;
  ingot_isa isa = ingot_isa_best();
  float *x = random_floats(tokens * columns), *w = random_floats(rows * columns), *y = random_floats(tokens * rows);
  ingot_product p = {0};
  p.m = tokens, p.n = rows, p.k = columns, p.a = x, p.lda = columns, p.b = w, p.ldb = columns;
  p.alpha = 1, p.c = y, p.ldc = rows;
  size_t need = ingot_multiply_rows_floats(isa, weights, tokens);
  float *scratch = random_floats(need > ingot_product_floats(isa, &p) ? need : ingot_product_floats(isa, &p));
  double work = 2e-9 * (double)tokens * (double)rows * (double)columns;
  for (int r = -1; r < rounds; r++) {
    double start = thread_seconds();
    ingot_multiply_rows(isa, weights + (r + 1) % count, x, tokens, y, scratch);
    double first = thread_seconds();
    ingot_decode_rows(isa, weights + (r + 1) % count, 0, rows, w);
    double decoded = thread_seconds();
    ingot_multiply(isa, &p, scratch);
    double second = thread_seconds();
#if defined(INGOT_BLAS)
    cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, (int)tokens, (int)rows, (int)columns, 1, x, (int)columns, w,
        (int)columns, 0, y, (int)rows);
#endif
    if (r < 0) continue;
    blas[r] = (thread_seconds() - second) / (second - decoded);
    stored[r] = work / (first - start) / peak;
    dense[r] = work / (second - decoded) / peak;
  }
  printf("%s\n    {\"tokens\": %zu, ", tokens == 1 ? "" : ",", tokens);
  print_spread("perPeak", stored, rounds);
  printf(", ");
  print_spread("productAlonePerPeak", dense, rounds);
#if defined(INGOT_BLAS)
  printf(", ");
  print_spread("perBLAS", blas, rounds);
#endif
  printf("}");
  fflush(stdout);
  free(x), free(w), free(y), free(scratch);
}

/// What a Hessian takes: outer products of 512 tokens, then the inverse of its Cholesky factor.
static void time_factor(size_t columns, int rounds, double peak) {
  enum { TOKENS = 512 };
  double outer[MOST_ROUNDS], inverse[MOST_ROUNDS], outer_blas[MOST_ROUNDS], inverse_blas[MOST_ROUNDS];
  ingot_isa isa = ingot_isa_best();
  float *x = random_floats(TOKENS * columns), *sum = random_floats(columns * columns),
        *scratch = random_floats(ingot_factor_floats(columns));
  double size = (double)columns;
  ingot_product p = {0};
  p.m = p.n = columns, p.k = TOKENS, p.a = p.b = x, p.lda = p.ldb = p.ldc = columns;
  p.a_turned = p.b_turned = p.lower = true, p.alpha = 1, p.c = sum;
  for (int r = -1; r < rounds; r++) {
    double start = thread_seconds();
    ingot_multiply(isa, &p, scratch);
    double first = thread_seconds();
    double outer_other = 0, inverse_other = 0;
    for (size_t i = 0; i < columns; i++) sum[i * columns + i] += 8;
#if defined(INGOT_BLAS)
    float *other = random_floats(columns * columns);
    int n = (int)columns, info;
    double begin = thread_seconds();
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, n, TOKENS, 1, x, n, 0, other, n);
    outer_other = thread_seconds() - begin;
    memcpy(other, sum, columns * columns * sizeof *sum);
    begin = thread_seconds();
    spotrf_("U", &n, other, &n, &info);
    strtri_("U", "N", &n, other, &n, &info);
    inverse_other = thread_seconds() - begin;
    free(other);
#endif
    double third = thread_seconds();
    if (!ingot_invert_cholesky(isa, columns, sum, scratch)) exit(1);
    double fourth = thread_seconds();
    if (r < 0) continue;
    outer[r] = size * size * TOKENS * 1e-9 / (first - start) / peak;
    inverse[r] = 2.0 / 3 * size * size * size * 1e-9 / (fourth - third) / peak;
    outer_blas[r] = outer_other / (first - start);
    inverse_blas[r] = inverse_other / (fourth - third);
  }
  printf("%s\n    {\"columns\": %zu, ", columns == 768 ? "" : ",", columns);
  print_spread("outerPerPeak", outer, rounds);
  printf(", ");
  print_spread("inversePerPeak", inverse, rounds);
#if defined(INGOT_BLAS)
  printf(", ");
  print_spread("outerPerBLAS", outer_blas, rounds);
  printf(", ");
  print_spread("inversePerBLAS", inverse_blas, rounds);
#else
  (void)outer_blas, (void)inverse_blas;
#endif
  printf("}");
  fflush(stdout);
  free(x), free(sum), free(scratch);
}

/// Tokens through one projection straight from its codes: weights a second for one token, and what part of the peak more are.
static void time_coded(const char *name, int type, unsigned bits, bool first, int rounds, double peak) {
  enum { MANY = 64 };
  static const size_t tokens[] = {1, 8, MANY};
  enum { COUNTS = sizeof tokens / sizeof *tokens };
  double rates[COUNTS][MOST_ROUNDS];
  ingot_isa isa = ingot_isa_best();
  ingot_coded c = {.type = type, .rows = 1536, .columns = 3072, .bits = bits, .group = 64, .storage = INGOT_F16};
  c.zero = 1 << (bits - 1);
  size_t weights = c.rows * c.columns, block_weights = 8, block_bytes = bits;
  if (type != INGOT_PLANES) ingot_ggml_shape(type, &block_weights, &block_bytes);
  size_t bytes = weights / block_weights * block_bytes, scale_bytes = weights / c.group * 2;
  uint8_t *codes = malloc(bytes), *scales = malloc(scale_bytes);
  // Halves of such bytes are finite.
  for (size_t j = 0; j < bytes; j++) codes[j] = (uint8_t)(uniform() * 64);
  for (size_t j = 0; j < scale_bytes; j++) scales[j] = (uint8_t)(uniform() * 64);
  c.codes = codes, c.scales = scales;
  float *x = random_floats(MANY * c.columns), *y = random_floats(MANY * c.rows),
        *scratch = random_floats(ingot_multiply_coded_floats(isa, &c, MANY));
  for (int r = -1; r < rounds; r++)
    for (size_t i = 0; i < COUNTS; i++) {
      double start = thread_seconds();
      ingot_multiply_coded(isa, &c, x, tokens[i], y, scratch);
      double seconds = thread_seconds() - start;
      if (r >= 0) rates[i][r] = tokens[i] == 1 ? (double)weights / seconds : 2e-9 * (double)(tokens[i] * weights) / seconds / peak;
    }
  printf("%s\n    {\"codes\": \"%s\", ", first ? "" : ",", name);
  print_spread("weightsPerSecond", rates[0], rounds);
  printf(", ");
  print_spread("perPeak8", rates[1], rounds);
  printf(", ");
  print_spread("perPeak64", rates[2], rounds);
  printf("}");
  fflush(stdout);
  free(x), free(y), free(scratch), free(codes), free(scales);
}

static void time_all_coded(int rounds, double peak) {
  static const struct { const char *name; int type; unsigned bits; } all[] = {
      {"q4_0", INGOT_Q4_0, 4},       {"q4_1", INGOT_Q4_1, 4},      {"q5_1", INGOT_Q5_1, 5},
      {"q8_0", INGOT_Q8_0, 8},       {"q2_k", INGOT_Q2_K, 2},      {"q3_k", INGOT_Q3_K, 3},
      {"q4_k", INGOT_Q4_K, 4},       {"q5_k", INGOT_Q5_K, 5},      {"q6_k", INGOT_Q6_K, 6},
      {"iq4_xs", INGOT_IQ4_XS, 4},   {"mxfp4", INGOT_MXFP4, 4},    {"int8 g64", INGOT_PLANES, 8},
      {"int4 g64", INGOT_PLANES, 4}, {"int3 g64", INGOT_PLANES, 3},
  };
  printf(",\n  \"coded\": [");
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    time_coded(all[i].name, all[i].type, all[i].bits, i == 0, rounds, peak);
  printf("\n  ]");
}

void time_products(const ingot_rows *weights, int count, int rounds, double peak) {
  printf(",\n  \"matmul\": [");
  for (size_t tokens = 1; tokens <= 512; tokens *= 2) time_matmul(weights, count, tokens, rounds, peak);
  printf("\n  ],\n  \"factor\": [");
  for (size_t columns = 768; columns <= 3072; columns *= 2) time_factor(columns, rounds < 3 ? rounds : 3, peak);
  printf("\n  ]");
  time_all_coded(rounds, peak);
}
