// What the scalar and the vector search into GGML blocks share.
#ifndef INGOT_GGML_SEARCH_H
#define INGOT_GGML_SEARCH_H

#include "ggml.h"
#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

/// Refits of a part's best range, rounds over the multiples of all parts, and super-scales tried.
enum { GGML_REFITS = 1, GGML_ROUNDS = 2, GGML_SCALES = 32 };

/// What a search has to know of a type. A weight is step * v(code) - offset; a part's step is a multiple of
/// d, its offset one of m.
typedef struct {
  size_t part, parts;   // weights of a part; parts that share d and m
  float low, high;      // of v(code): code - zero, or the ends of the table
  float least, most;    // multiples of d; those of m go from 0 to `most`
  bool minima;          // whether there are offsets
  const int8_t *table;  // values of the codes in rising order, or null
  const float *grid;    // ranges tried for a part, `tries` of them
  int tries;
  float unit;  // of a grid of pairs
} ggml_form;

// Grids. Without minima: the extreme of a part in multiples of the step that would put it on the least code,
// below 0, or of the one that would put it as far above. With minima: pairs, the shares of the part's range
// that are left out below and above, in units.
//
// Each leaves about the least error that a dense grid leaves (0.2 % more without minima, 2 % with): ranges
// were exchanged one after the other, over tensors with tails of all kinds. At 5 bits and more extremes are
// hardly worth cutting off: the ranges differ in phase.
extern const float ggml_grid_q3_k[16], ggml_grid_q6_k[12], ggml_grid_q4_0[16], ggml_grid_q5_0[16];
extern const float ggml_grid_q8_0[16], ggml_grid_curve[16];
extern const float ggml_grid_q2_k[40], ggml_grid_q4_k[24], ggml_grid_q5_k[24];
extern const float ggml_grid_q4_1[40], ggml_grid_q5_1[40];

INGOT_INLINE ggml_form ggml_form_of(ingot_ggml type) {
  switch (type) {
    case INGOT_Q4_0: return (ggml_form){32, 1, -8, 7, 1, 1, false, NULL, ggml_grid_q4_0, 16, 0};
    case INGOT_Q4_1: return (ggml_form){32, 1, 0, 15, 1, 1, true, NULL, ggml_grid_q4_1, 20, 0.03f};
    case INGOT_Q5_0: return (ggml_form){32, 1, -16, 15, 1, 1, false, NULL, ggml_grid_q5_0, 16, 0};
    case INGOT_Q5_1: return (ggml_form){32, 1, 0, 31, 1, 1, true, NULL, ggml_grid_q5_1, 20, 0.016f};
    case INGOT_Q8_0: return (ggml_form){32, 1, -128, 127, 1, 1, false, NULL, ggml_grid_q8_0, 16, 0};
    case INGOT_Q2_K: return (ggml_form){16, 16, 0, 3, 0, 15, true, NULL, ggml_grid_q2_k, 20, 0.06f};
    case INGOT_Q3_K: return (ggml_form){16, 16, -4, 3, -32, 31, false, NULL, ggml_grid_q3_k, 16, 0};
    case INGOT_Q4_K: return (ggml_form){32, 8, 0, 15, 0, 63, true, NULL, ggml_grid_q4_k, 12, 0.03f};
    case INGOT_Q5_K: return (ggml_form){32, 8, 0, 31, 0, 63, true, NULL, ggml_grid_q5_k, 12, 0.016f};
    case INGOT_Q6_K: return (ggml_form){16, 16, -32, 31, -128, 127, false, NULL, ggml_grid_q6_k, 12, 0};
    case INGOT_IQ4_NL:
      return (ggml_form){32, 1, -127, 113, 1, 1, false, ggml_curve, ggml_grid_curve, 16, 0};
    case INGOT_IQ4_XS:
      return (ggml_form){32, 8, -127, 113, -32, 31, false, ggml_curve, ggml_grid_curve, 16, 0};
    case INGOT_MXFP4: break;  // its scale is an exponent: see search_exponent
  }
  __builtin_unreachable();
}

/// Halfway between the values of codes `i` and `i + 1`; what lies above takes the greater.
INGOT_INLINE float ggml_between(const int8_t *table, int i) {
  return (float)(table[i] + table[i + 1]) * 0.5f;
}

/// The multiple of d that the greatest step gets in try `i`: the greatest ones, either sign in turn when
/// signed.
INGOT_INLINE float ggml_greatest_multiple(float least, float most, int i) {
  if (least < 0) return i % 2 == 0 ? least + 0.25f * (float)i : most - 0.25f * (float)(i - 1);
  // With few multiples half of the tries would leave none to choose from.
  return most + 0.5f - (most > 16 ? 0.5f : 0.25f) * (float)i;
}

/// Steps below this, next to weights of about 1, are none.
#define GGML_LEAST_STEP 0x1p-60f

/// Importance of a part where all is 0, next to a peak of about 1: its codes follow d and m, and do not move
/// them.
#define GGML_UNHEARD 0x1p-30f

#endif
