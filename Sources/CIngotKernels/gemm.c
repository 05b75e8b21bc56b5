// Matrix product by plain loops, to hold the library's against; and Apple's, whose header only C can
// include without its deprecated names.
#if defined(__APPLE__)
#define ACCELERATE_NEW_LAPACK
#include <Accelerate/Accelerate.h>
#endif

#include "isa.h"

#pragma STDC FP_CONTRACT OFF

void ingot_gemm_reference(
    size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b, size_t ldb,
    bool transposed, float beta, float *c, size_t ldc) {
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      double sum = 0;
      for (size_t l = 0; l < k; l++)
        sum += (double)a[i * lda + l] * (double)(transposed ? b[j * ldb + l] : b[l * ldb + j]);
      // As in BLAS, what stands in c is not looked at when beta is 0.
      double old = beta == 0 ? 0 : (double)beta * (double)c[i * ldc + j];
      c[i * ldc + j] = (float)((double)alpha * sum + old);
    }
}

#if defined(__APPLE__)
void ingot_gemm_accelerate(
    size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b, size_t ldb,
    bool transposed, float beta, float *c, size_t ldc) {
  cblas_sgemm(
      CblasRowMajor, CblasNoTrans, transposed ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, alpha, a,
      (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void ingot_ssyrk_accelerate(
    size_t n, size_t k, float alpha, const float *a, size_t lda, float beta, float *c, size_t ldc) {
  cblas_ssyrk(
      CblasRowMajor, CblasLower, CblasTrans, (int)n, (int)k, alpha, a, (int)lda, beta, c, (int)ldc);
}

int ingot_spotrf_accelerate(size_t n, float *a) {
  int size = (int)n, info = 0;
  spotrf_("U", &size, a, &size, &info);
  return info;
}

int ingot_strtri_accelerate(size_t n, float *a) {
  int size = (int)n, info = 0;
  strtri_("U", "N", &size, a, &size, &info);
  return info;
}
#endif
