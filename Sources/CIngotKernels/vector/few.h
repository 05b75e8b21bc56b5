// Products of few tokens with four decoded rows: sums of some rows and tokens stay in registers.
#ifndef INGOT_VECTOR_FEW_H
#define INGOT_VECTOR_FEW_H

#include "../few.h"
#include "lanes.h"

/// Rows and tokens whose sums are held in registers.
#if defined(INGOT_VBMI)
enum { FEW_HELD_ROWS = 4, FEW_HELD_TOKENS = 4 };
#else
enum { FEW_HELD_ROWS = 2, FEW_HELD_TOKENS = 2 };
#endif

INGOT_INLINE void few_held(const ingot_few *part, size_t row, size_t token, size_t tokens) {
  lanes_f32 held[FEW_HELD_ROWS][FEW_HELD_TOKENS];
  float *sums = part->sums + (row * INGOT_FEW + token) * 16;
  const float *weights = part->weights + row * part->stride, *x = part->x + token * part->leading;
#define EACH_ROW _Pragma("clang loop unroll(full)") for (size_t i = 0; i < FEW_HELD_ROWS; i++)
#define EACH_TOKEN _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++)
  EACH_ROW EACH_TOKEN held[i][t] = load_lanes(sums + (i * INGOT_FEW + t) * 16);
  size_t j = 0;
  for (; j + 16 <= part->columns; j += 16) {
    lanes_f32 w[FEW_HELD_ROWS];
    EACH_ROW w[i] = load_lanes(weights + i * part->stride + j);
    EACH_TOKEN {
      lanes_f32 input = load_lanes(x + t * part->leading + j);
      EACH_ROW held[i][t] = __builtin_elementwise_fma(w[i], input, held[i][t]);
    }
  }
  if (j < part->columns) {
    size_t left = part->columns - j;
    EACH_TOKEN {
      lanes_f32 input = load_part(x + t * part->leading + j, left, 0);
      EACH_ROW held[i][t] =
          __builtin_elementwise_fma(load_part(weights + i * part->stride + j, left, 0), input, held[i][t]);
    }
  }
  EACH_ROW EACH_TOKEN store_lanes(sums + (i * INGOT_FEW + t) * 16, held[i][t]);
#undef EACH_ROW
#undef EACH_TOKEN
}

void BODY(ingot_few)(const ingot_few *part) {
  for (size_t row = 0; row < FEW_ROWS; row += FEW_HELD_ROWS) {
    size_t token = 0;
    for (; token + FEW_HELD_TOKENS <= part->tokens; token += FEW_HELD_TOKENS)
      few_held(part, row, token, FEW_HELD_TOKENS);
    for (; token + 2 <= part->tokens; token += 2) few_held(part, row, token, 2);
    if (token < part->tokens) few_held(part, row, token, 1);
  }
}

#endif
