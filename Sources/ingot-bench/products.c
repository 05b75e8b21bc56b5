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

void time_products(const ingot_rows *weights, int count, int rounds, double peak) {
  printf(",\n  \"matmul\": [");
  for (size_t tokens = 1; tokens <= 512; tokens *= 2) time_matmul(weights, count, tokens, rounds, peak);
  printf("\n  ],\n  \"factor\": [");
  for (size_t columns = 768; columns <= 3072; columns *= 2) time_factor(columns, rounds < 3 ? rounds : 3, peak);
  printf("\n  ]");
}
