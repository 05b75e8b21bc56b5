// cblas.h is installed by several BLAS packages; only OpenBLAS's own names its version.
#include <openblas_config.h>
#include <cblas.h>
#ifndef OPENBLAS_VERSION
#error "cblas.h is not OpenBLAS's: install libopenblas-dev"
#endif
