// Matrix product by plain loops in F64, to hold the others against.
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
