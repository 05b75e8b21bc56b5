// Matrix products of ours on one thread; beside them those of the machine's BLAS where the build has it (INGOT_BLAS).
#ifndef BENCH_PRODUCTS_H
#define BENCH_PRODUCTS_H

#include "ckernels.h"

/// Begins the program anew where the BLAS takes the processor for another one and could do better.
void take_best_blas(char **arguments);
/// The core type that OpenBLAS should have taken this processor for instead of `taken`; null when it did well.
const char *better_blas_core(const char *taken);
/// "none" where the build has none.
const char *blas_name(void);
/// Continues a JSON object: "matmul", tokens through each of the rows of `weights`, which take turns, and "factor".
void time_products(const ingot_rows *weights, int count, int rounds, double peak);

#endif
