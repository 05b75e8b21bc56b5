// What the scalar and the vector bodies of few.c share.
#ifndef INGOT_FEW_H
#define INGOT_FEW_H

#include <string.h>

#include "isa.h"

/// Rows and columns that are decoded at once: 16 KB.
enum { FEW_ROWS = 4, FEW_COLUMNS = 1024 };

/// Adds the products of `columns` columns: (FEW_ROWS, stride) weights with (tokens, leading) inputs, to sums
/// (FEW_ROWS, INGOT_FEW, 16), column j in lane j % 16, product and sum rounded once.
typedef struct ingot_few {
  const float *weights;
  size_t stride;
  const float *x;
  size_t columns, leading, tokens;
  float *sums;
} ingot_few;

#endif
