// What the bodies of rounded_product.c share.
//
// Activations are rounded to 8 bits, 32 neighbours with a step: x ≈ step · q, step = the largest magnitude / 127. Codes c of weights are
// whole numbers too, w = scale · (c - zero) + offset, so that a product of 32 columns is a sum of integers:
//
//     s ← 0;  for each part of columns, ascending:
//       s ← fma(scale · step, Σ (c - zero) q, s)
//       s ← fma(offset, step · Σ q, s)            where weights have an offset
//
// every operation on floats rounded once. Integers sum exactly in any order, so instructions are free to sum them as they like, and floats
// are added in this order on every machine.
#ifndef INGOT_ROUNDED_H
#define INGOT_ROUNDED_H

#include "coded.h"

enum {
  /// Tokens whose sums are kept in registers.
  ROUNDED_TOKENS = 8,
  /// Panels of rows that go together through activations of many tokens, which pass the caches for each time.
  ROUNDED_PANELS = 4,
};

/// Activations of some tokens, rounded. A part has 16 or 32 columns, as the form says.
typedef struct {
  // (stretches of DEPTH columns, tokens, columns of the stretch); with neighbours, those of even columns of a block before odd ones.
  int8_t *codes;
  float *steps;     // (tokens, blocks)
  float *sums;      // (tokens, parts): step · Σ q
  int32_t *starts;  // (tokens, parts): what a sum of integers begins with, so that it comes to Σ (c - zero) q
} rounded_x;

typedef struct ingot_rounding {
  const float *x;  // (tokens, columns)
  size_t tokens, columns;
  code_form form;
  rounded_x out;
} ingot_rounding;

/// y[t][i] for the rows of some panels, ROUNDED_PANELS · PANEL of them at most.
typedef struct ingot_rounded_sums {
  ingot_coded_rows of;
  code_form form;
  rounded_x x;
  size_t tokens;
  float *totals;  // (panels, tokens, PANEL) of scratch
  float *y;
  size_t leading;  // from a token to the next in y
} ingot_rounded_sums;

/// Where the codes of a token's columns from `first` on are, `first` being a multiple of CODE_BLOCK.
INGOT_INLINE int8_t *rounded_codes(const rounded_x *x, size_t tokens, size_t columns, size_t token, size_t first) {
  size_t stretch = first / DEPTH * DEPTH, width = columns - stretch < DEPTH ? columns - stretch : DEPTH;
  return x->codes + stretch * tokens + token * width + (first - stretch);
}

/// The step of 32 activations of which the largest magnitude has these bits; NaN where one is not finite. Of magnitudes too small for an
/// inverse nothing is left.
INGOT_INLINE float rounded_step(uint32_t bits) {
  if (bits >= 0x7F800000) return float_of(0x7FC00000);
  float most = float_of(bits);
  return most < 0x1p-100f ? 0 : most / 127;
}

INGOT_INLINE float rounded_inverse(float step) { return step > 0 ? 1 / step : 0; }

#endif
