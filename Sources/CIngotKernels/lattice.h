// Types of GGML whose codes number points of a lattice, as quantizers see them.
//
// Eight weights at a time share what their codes have to agree on: one point of eight entries or two of four, and an even
// number of minus signs. A weight is
//
//     d * multiple * (value - zero)
//
// with an odd multiple for each part of a block; value is an entry of a point under its sign. IQ1's entries have signs
// themselves and are shifted by an eighth up or down: as `zero` where a part shares the shift, else in the value.
#ifndef INGOT_LATTICE_H
#define INGOT_LATTICE_H

#include "ggml_lattice.h"
#include "isa.h"
#include "lattice_runs.h"

#pragma STDC FP_CONTRACT OFF

enum { LATTICE_BLOCK = 256, LATTICE_GROUP = 8, LATTICE_MOST_PARTS = 16 };

typedef struct {
  int type;
  size_t part;             // weights that share a multiple of d
  float most;              // the greatest multiple
  const uint16_t *points;  // entries in `bits` bits each, the first in the lowest
  size_t count, width, bits;
  const uint16_t (*runs)[2];  // points by their upper half, see lattice_runs.h
  size_t run_count;
  const uint8_t *low;  // their lower halves
  size_t levels;  // values of an entry
  float level[8];
  bool even;       // the number of minus signs is even
  bool signs;      // signs are apart from points
  size_t shifted;  // weights that share a shift; 0 for none
} lattice_form;

/// Whether a type is one of those whose blocks are made here.
INGOT_INLINE bool lattice_is_made(int type) {
  return type == INGOT_IQ2_XXS || type == INGOT_IQ2_XS || type == INGOT_IQ2_S || type == INGOT_IQ3_XXS ||
         type == INGOT_IQ3_S || type == INGOT_IQ1_S || type == INGOT_IQ1_M;
}

// Levels go with multiples 2s + 1 for the s that is stored: (0.5 + s) * 0.25 * 25 is (2s + 1) * 3.125.
#define LATTICE_THREE {1, 3.125f, 5.375f}
#define LATTICE_SIGNED {-1, 0, 1}
#define LATTICE_RUNS(name) \
  lattice_runs_##name, sizeof lattice_runs_##name / sizeof *lattice_runs_##name - 1, lattice_low_##name

INGOT_INLINE lattice_form lattice_form_of(int type) {
  switch (type) {
    case INGOT_IQ2_XXS:
      return (lattice_form){type, 32, 31, ggml_grid_iq2_xxs, 256, 8, 2, LATTICE_RUNS(iq2_xxs), 3, LATTICE_THREE, true, true, 0};
    case INGOT_IQ2_XS:
      return (lattice_form){type, 16, 31, ggml_grid_iq2_xs, 512, 8, 2, LATTICE_RUNS(iq2_xs), 3, LATTICE_THREE, true, true, 0};
    case INGOT_IQ2_S:
      return (lattice_form){type, 16, 31, ggml_grid_iq2_s, 1024, 8, 2, LATTICE_RUNS(iq2_s), 3, LATTICE_THREE, false, true, 0};
    case INGOT_IQ3_XXS:
      return (lattice_form){type, 32, 31, ggml_grid_iq3_xxs, 256, 4, 3, LATTICE_RUNS(iq3_xxs), 8, {1, 3, 5, 7, 9, 11, 13, 15.5f},
                            true, true, 0};
    case INGOT_IQ3_S:
      return (lattice_form){type, 32, 31, ggml_grid_iq3_s, 512, 4, 3, LATTICE_RUNS(iq3_s), 8, {1, 3, 5, 7, 9, 11, 13, 15}, false, true, 0};
    case INGOT_IQ1_S:
      return (lattice_form){type, 32, 15, ggml_grid_iq1_s, 2048, 8, 2, LATTICE_RUNS(iq1_s), 3, LATTICE_SIGNED, false, false, 32};
    case INGOT_IQ1_M:
      return (lattice_form){type, 16, 15, ggml_grid_iq1_s, 2048, 8, 2, LATTICE_RUNS(iq1_s), 3, LATTICE_SIGNED, false, false, 8};
    default: __builtin_unreachable();
  }
}

/// Calls `body(TYPE)` with each type as a constant, so that each is compiled for itself.
#define LATTICE_CASES(type, body) \
  switch (type) { \
    case INGOT_IQ2_XXS: body(INGOT_IQ2_XXS); break; \
    case INGOT_IQ2_XS: body(INGOT_IQ2_XS); break; \
    case INGOT_IQ2_S: body(INGOT_IQ2_S); break; \
    case INGOT_IQ3_XXS: body(INGOT_IQ3_XXS); break; \
    case INGOT_IQ3_S: body(INGOT_IQ3_S); break; \
    case INGOT_IQ1_S: body(INGOT_IQ1_S); break; \
    case INGOT_IQ1_M: body(INGOT_IQ1_M); break; \
  }

/// A block's d (binary16), odd multiples and values to bytes. Values are those of points, so each has its number; where a
/// part shares its shift, `zeros` has it.
void lattice_write(
    int type, uint16_t d, const float *multiples, const float *zeros, const float *values, uint8_t *bytes);

/// Scales, multiples and, where parts share a shift, zeros of rows of blocks: (supers, stride) and (parts, stride).
void lattice_take_apart(
    int type, const uint8_t *blocks, size_t rows, size_t columns, size_t stride, float *d, float *multiples,
    float *zeros);
/// Rows of blocks from these and values (columns, stride).
void lattice_put_together(
    int type, size_t rows, size_t columns, size_t stride, const float *d, const float *multiples, const float *zeros,
    const float *values, uint8_t *blocks);

#endif
