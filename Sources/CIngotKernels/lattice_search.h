// Blocks of lattice types with little weighted squared error: as many blocks at once as there are lanes.
//
// As in ggml_search.c: each part finds a step by itself, among steps tried and refitted; a d is chosen of which all steps are
// nearly odd multiples; then multiples next to those are tried for each part with the points they lead to, and d is fitted
// to these. For a step given, points and signs are the best there are.
#ifndef INGOT_LATTICE_SEARCH_H
#define INGOT_LATTICE_SEARCH_H

#include "ggml_search.h"
#include "lattice_choose.h"

#pragma STDC FP_CONTRACT OFF

// Nine tries and two rounds leave 0.5 to 1 % less error, in twice the time.
enum { LATTICE_TRIES = 5, LATTICE_SCALES = 40 };

/// Steps that are tried: the greatest weight of a part in multiples of the greatest level.
static const float BODY(lattice_tries)[3][LATTICE_TRIES] = {
    {0.69f, 0.79f, 0.91f, 1.05f, 1.2f},
    {0.89f, 0.94f, 1, 1.05f, 1.11f},
    {0.47f, 0.55f, 0.64f, 0.75f, 0.87f},
};

/// Weights and importance of blocks in the scaled domain, as ggml_search.c has them.
typedef struct {
  many w[LATTICE_BLOCK], h[LATTICE_BLOCK];
  many factor, real;
} lattice_view;

typedef struct {
  many d, multiples[LATTICE_MOST_PARTS], zeros[LATTICE_MOST_PARTS], values[LATTICE_BLOCK];
} lattice_choice;

typedef struct {
  many vv, wv;
} lattice_sums;

/// Values of a part at a step, and the sums they come to.
static lattice_sums BODY(lattice_measure)(
    const lattice_form *f, const lattice_view *v, size_t first, many step, many zero, many *values) {
  lattice_sums s = {all_of(0), all_of(0)};
  for (size_t group = 0; group < f->part; group += LATTICE_GROUP)
    BODY(lattice_nearest)(f->type, v->w + first + group, v->h + first + group, step, zero, values + group);
  for (size_t k = 0; k < f->part; k++) {
    many h = v->h[first + k], w = v->w[first + k], value = values[k] - zero;
    s.vv = s.vv + h * value * value;
    s.wv = s.wv + h * w * value;
  }
  return s;
}

INGOT_INLINE many lattice_stored(const lattice_view *v, many d) { return stored_many(d * v->real) * v->factor; }

/// The odd multiple of d that comes closest.
INGOT_INLINE many lattice_multiple(const lattice_form *f, many ratio) {
  return 2 * round_many(clamp_many((ratio - all_of(1)) * all_of(0.5f), 0, (f->most - 1) / 2)) + all_of(1);
}

/// The sum of squares that a part is left with at a step.
static many BODY(lattice_part_cost)(
    const lattice_form *f, const lattice_view *v, size_t first, many step, many zero) {
  many sum = all_of(0);
  for (size_t group = 0; group < f->part; group += LATTICE_GROUP)
    sum = sum + BODY(lattice_cost)(f->type, v->w + first + group, v->h + first + group, step, zero);
  return sum;
}

/// Signs of a shift that a part may have as its own.
INGOT_INLINE int lattice_sides(const lattice_form *f) { return f->shifted == f->part ? 2 : 1; }

/// The step of a part by itself, what it is worth, and with which shift.
static void BODY(lattice_free_fit)(
    const lattice_form *f, const lattice_view *v, size_t first, many *step, many *weight, many *zero) {
  many values[32], extreme = all_of(0), least = all_of(__builtin_inff());
  for (size_t k = 0; k < f->part; k++) {
    many size = magnitude_many(v->w[first + k]);
    extreme = choose_many(size > extreme, size, extreme);
  }
  *step = *zero = all_of(0);
  const float *tries = BODY(lattice_tries)[f->signs ? f->width == 4 : 2];
  float greatest = f->signs ? f->level[f->levels - 1] : 1;
  for (int side = 0; side < lattice_sides(f); side++)
    for (int i = 0; i < LATTICE_TRIES; i++) {
      many shift = all_of(f->shifted != f->part ? 0 : side == 0 ? -0.125f : 0.125f);
      many tried = extreme * all_of(tries[i] / greatest);
      many cost = BODY(lattice_part_cost)(f, v, first, tried, shift);
      *step = choose_many(cost < least, tried, *step);
      *zero = choose_many(cost < least, shift, *zero);
      least = least_of(cost, least);
    }
  lattice_sums s = BODY(lattice_measure)(f, v, first, *step, *zero, values);
  *weight = s.vv;
  many better = choose_many(s.vv > 0, s.wv / s.vv, all_of(0));
  *step = choose_many(better > GGML_LEAST_STEP, better, all_of(0));
}

/// The d whose odd multiples come closest to the steps, as stored.
static many BODY(lattice_shared)(
    const lattice_form *f, const lattice_view *v, const many *steps, const many *weight) {
  many extreme = all_of(0), best = all_of(0), least = all_of(0);
  size_t parts = LATTICE_BLOCK / f->part;
  for (size_t j = 0; j < parts; j++) {
    extreme = choose_many(steps[j] > extreme, steps[j], extreme);
    least = least + weight[j] * steps[j] * steps[j];
  }
  for (int i = 0; i < LATTICE_SCALES; i++) {
    // From a little more than the greatest multiple down to a quarter of it.
    float divisor = f->most + 1 - f->most * 0.75f * (float)i / LATTICE_SCALES;
    many d = lattice_stored(v, extreme * all_of(1 / divisor)), inverse = inverse_many(d), sum = all_of(0);
    for (size_t j = 0; j < parts; j++) {
      many miss = steps[j] - d * lattice_multiple(f, steps[j] * inverse);
      sum = sum + weight[j] * miss * miss;
    }
    best = choose_many(sum < least, d, best);
    least = choose_many(sum < least, sum, least);
  }
  return best;
}

/// Multiples next to the present ones are tried for each part, each with its points; then d is fitted to all of them.
static void BODY(lattice_improve)(const lattice_form *f, const lattice_view *v, lattice_choice *c) {
  many num = all_of(0), den = all_of(0), d = c->d;
  for (size_t j = 0; j < LATTICE_BLOCK / f->part; j++) {
    many least = all_of(__builtin_inff()), multiple = c->multiples[j], zero = c->zeros[j];
    for (int side = 0; side < lattice_sides(f); side++)
      for (int change = -2; change <= 2; change += 2) {
        many tried = clamp_many(c->multiples[j] + all_of((float)change), 1, f->most);
        many shift = side == 0 ? c->zeros[j] : -c->zeros[j];
        many cost = BODY(lattice_part_cost)(f, v, j * f->part, d * tried, shift);
        multiple = choose_many(cost < least, tried, multiple);
        zero = choose_many(cost < least, shift, zero);
        least = least_of(cost, least);
      }
    lattice_sums s = BODY(lattice_measure)(f, v, j * f->part, d * multiple, zero, c->values + j * f->part);
    c->multiples[j] = multiple;
    c->zeros[j] = zero;
    num = num + multiple * s.wv;
    den = den + multiple * multiple * s.vv;
  }
  many fitted = lattice_stored(v, num / den);
  many_mask better = fitted * (fitted * den - 2 * num) < d * (d * den - 2 * num);
  c->d = choose_many(better, fitted, d);
}

static void BODY(lattice_search_block)(const lattice_form *f, const lattice_view *v, lattice_choice *c) {
  many steps[LATTICE_MOST_PARTS], weight[LATTICE_MOST_PARTS];
  size_t parts = LATTICE_BLOCK / f->part;
  for (size_t j = 0; j < parts; j++)
    BODY(lattice_free_fit)(f, v, j * f->part, &steps[j], &weight[j], &c->zeros[j]);
  c->d = BODY(lattice_shared)(f, v, steps, weight);
  many inverse = inverse_many(c->d);
  for (size_t j = 0; j < parts; j++) c->multiples[j] = lattice_multiple(f, steps[j] * inverse);
  BODY(lattice_improve)(f, v, c);
}

/// Loads blocks that begin at `starts`, scaled by powers of two so that the greatest is between 1 and 2.
static void BODY(lattice_load)(
    lattice_view *v, const ingot_ggml_job *job, const size_t *starts, const lattice_form *f) {
  float row[LANES];
  many extreme = all_of(0), peak = all_of(0);
  for (size_t k = 0; k < LATTICE_BLOCK; k++) {
    for (size_t lane = 0; lane < LANES; lane++) row[lane] = job->weights[starts[lane] + k];
    v->w[k] = load_many(row);
    for (size_t lane = 0; lane < LANES; lane++)
      row[lane] = job->importance ? job->importance[(starts[lane] + k) % job->columns] : 1;
    v->h[k] = load_many(row);
    many size = magnitude_many(v->w[k]);
    extreme = choose_many(size > extreme, size, extreme);
    peak = choose_many(v->h[k] > peak, v->h[k], peak);
  }
  v->factor = power_near(extreme, true);
  v->real = power_near(extreme, false);
  many importance_factor = power_near(peak, true);
  for (size_t first = 0; first < LATTICE_BLOCK; first += f->part) {
    many heard = all_of(0);
    for (size_t k = first; k < first + f->part; k++) {
      v->w[k] = v->w[k] * v->factor;
      v->h[k] = v->h[k] * importance_factor;
      heard = choose_many(v->h[k] > 0, all_of(1), heard);
    }
    for (size_t k = first; k < first + f->part; k++)
      v->h[k] = choose_many(heard > 0, v->h[k], all_of(GGML_UNHEARD));
  }
}

void BODY(ingot_lattice_search)(const ingot_ggml_job *job) {
  int type = (int)job->type;
  lattice_form form = lattice_form_of(type);
  size_t weights, bytes, parts = LATTICE_BLOCK / form.part;
  lattice_shape(type, &weights, &bytes);
  size_t blocks = job->rows * (job->columns / LATTICE_BLOCK);
  lattice_view view;
  lattice_choice best;
  for (size_t first = 0; first < blocks; first += LANES) {
    size_t starts[LANES];
    for (size_t lane = 0; lane < LANES; lane++)
      starts[lane] = (first + lane < blocks ? first + lane : blocks - 1) * LATTICE_BLOCK;
    BODY(lattice_load)(&view, job, starts, &form);
    BODY(lattice_search_block)(&form, &view, &best);
    float d[LANES], multiples[LATTICE_MOST_PARTS][LANES], zeros[LATTICE_MOST_PARTS][LANES];
    store_many(d, best.d * view.real);
    for (size_t j = 0; j < parts; j++) {
      store_many(multiples[j], best.multiples[j]);
      store_many(zeros[j], best.zeros[j]);
    }
    const float *values = (const float *)best.values;
    for (size_t lane = 0; lane < LANES && first + lane < blocks; lane++) {
      float own[LATTICE_MOST_PARTS], shifts[LATTICE_MOST_PARTS], block[LATTICE_BLOCK];
      for (size_t j = 0; j < parts; j++) {
        own[j] = multiples[j][lane];
        shifts[j] = zeros[j][lane];
      }
      for (size_t k = 0; k < LATTICE_BLOCK; k++) block[k] = values[k * LANES + lane];
      lattice_write(type, f16_of_float(d[lane]), own, shifts, block, job->blocks + (first + lane) * bytes);
    }
  }
}

#endif
