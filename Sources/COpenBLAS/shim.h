// cblas.h is installed by several BLAS packages; only OpenBLAS's own names its version.
#include <stddef.h>
#include <openblas_config.h>
#include <cblas.h>
#ifndef OPENBLAS_VERSION
#error "cblas.h is not OpenBLAS's: install libopenblas-dev"
#endif

// Debian's OpenBLAS has LAPACK by its Fortran names only. A character's length follows the arguments.
void spotrf_(const char *triangle, const blasint *n, float *a, const blasint *lda, blasint *info, size_t);
void strtri_(
    const char *triangle, const char *diagonal, const blasint *n, float *a, const blasint *lda, blasint *info, size_t,
    size_t);
