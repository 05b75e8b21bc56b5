// Which point of a lattice: eight weights at a time, in units of their step.
//
// Points are not tried one by one. An entry has three or eight values, so half a point has at most 81 or 64 forms; what each
// costs is tabled, and a point costs the sum of its halves (and of the products between them, where there are any).
#ifndef INGOT_LATTICE_CHOOSE_H
#define INGOT_LATTICE_CHOOSE_H

#include "lattice.h"
#include "lattice_lanes.h"

#pragma STDC FP_CONTRACT OFF

/// Forms of half a point, at most: four entries of three values. Tables of them lie close, since the nearest cache has few
/// places for each address.
enum { LATTICE_HALVES = 81 };

/// Costs of all forms of half a point from those of its entries' levels, (width / 2, 8): their sum, or the least of them.
INGOT_INLINE void lattice_half(const lattice_form *f, const many (*cost)[8], bool least, many *out) {
  unsigned levels = (unsigned)f->levels;
#define LATTICE_BOTH(a, b) (least ? least_of(a, b) : (a) + (b))
  if (f->width == 4) {
    for (unsigned b = 0; b < levels; b++)
      for (unsigned a = 0; a < levels; a++) out[a + 8 * b] = LATTICE_BOTH(cost[0][a], cost[1][b]);
    return;
  }
  many first[9];
  for (unsigned b = 0; b < levels; b++)
    for (unsigned a = 0; a < levels; a++) first[a + 3 * b] = LATTICE_BOTH(cost[0][a], cost[1][b]);
  for (unsigned d = 0; d < levels; d++)
    for (unsigned c = 0; c < levels; c++) {
      many second = LATTICE_BOTH(cost[2][c], cost[3][d]);
      for (unsigned b = 0; b < levels; b++)
        for (unsigned a = 0; a < levels; a++)
          out[a + 3 * b + 9 * c + 27 * d] = LATTICE_BOTH(first[a + 3 * b], second);
    }
#undef LATTICE_BOTH
}

typedef struct {
  many cost, run;
} lattice_pick;

INGOT_INLINE void lattice_take(lattice_pick *pick, many cost, many run) {
  pick->run = choose_many(cost < pick->cost, run, pick->run);
  pick->cost = least_of(cost, pick->cost);
}

/// Costs of the forms of half a point; of the lower half also with the one sign changed that costs least, `turned`, of the
/// upper what that adds, `flip`.
typedef struct {
  many cost[LATTICE_HALVES], turned[LATTICE_HALVES], flip[LATTICE_HALVES];
} lattice_table;

INGOT_INLINE void lattice_table_of(
    const lattice_form *f, const many (*cost)[8], const many (*flip)[8], bool upper, lattice_table *out) {
  size_t forms = f->width == 8 ? 81 : 64;
  lattice_half(f, cost, false, out->cost);
  if (!f->even) return;
  if (upper) return lattice_half(f, flip, true, out->flip);
  lattice_half(f, flip, true, out->turned);
  for (size_t i = 0; i < forms; i++) out->turned[i] = out->cost[i] + out->turned[i];
}

/// The run with the best point as the signs are, and the one with the best when a sign changes. For points of eight entries
/// there is only the first: nothing is added there where no sign has to change.
INGOT_INLINE void lattice_pick_runs(
    const lattice_form *f, const lattice_table *inner, const lattice_table *outer, lattice_pick *same,
    lattice_pick *changed) {
  *same = *changed = (lattice_pick){all_of(__builtin_inff()), all_of(0)};
  many number = all_of(0);
  for (size_t run = 0; run < f->run_count; run++) {
    size_t first = f->runs[run][1], end = f->runs[run + 1][1], high = f->runs[run][0];
    many least = inner->cost[f->low[first]], turned = inner->turned[f->low[first]];
    for (size_t i = first + 1; i < end; i++) {
      least = least_of(inner->cost[f->low[i]], least);
      if (f->even) turned = least_of(inner->turned[f->low[i]], turned);
    }
    if (f->even) turned = outer->cost[high] + least_of(turned, least + outer->flip[high]);
    least = outer->cost[high] + least;
    lattice_take(same, f->even && f->width == 8 ? turned : least, number);
    if (f->even && f->width == 4) lattice_take(changed, turned, number);
    number = number + all_of(1);
  }
}

/// Numbers of the best points of the runs that were picked.
INGOT_INLINE many lattice_number(
    const lattice_form *f, const lattice_table *inner, const lattice_table *outer, many run, bool turns) {
  const float *cost = (const float *)inner->cost, *turned = (const float *)inner->turned;
  const float *flip = (const float *)outer->flip;
  float runs[LANES], numbers[LANES];
  store_many(runs, run);
  for (size_t lane = 0; lane < LANES; lane++) {
    size_t own = (size_t)runs[lane], high = f->runs[own][0];
    float least = __builtin_inff();
    for (size_t i = f->runs[own][1]; i < f->runs[own + 1][1]; i++) {
      size_t at = f->low[i] * LANES + lane;
      float sum = cost[at];
      if (turns) {
        float other = sum + flip[high * LANES + lane];
        sum = turned[at] < other ? turned[at] : other;
      }
      if (!(sum < least)) continue;
      least = sum;
      numbers[lane] = (float)i;
    }
  }
  return load_many(numbers);
}

/// Entries of the points with these numbers, (width).
INGOT_INLINE void lattice_entries(const lattice_form *f, many index, many *values) {
  float numbers[LANES], entries[8][LANES];
  store_many(numbers, index);
  for (size_t lane = 0; lane < LANES; lane++) {
    unsigned point = f->points[(size_t)numbers[lane]];
    for (size_t j = 0; j < f->width; j++) entries[j][lane] = f->level[point >> f->bits * j & ((1u << f->bits) - 1)];
  }
  for (size_t j = 0; j < f->width; j++) values[j] = load_many(entries[j]);
}

/// Values v with the least Σ h (w - step (v - zero))², the best there are, and the sum itself: `w`, `h` and `values` (8).
/// Without `values` the sum alone, in less time.
INGOT_INLINE many lattice_nearest_signed(
    const lattice_form *f, const many *w, const many *h, many step, many *values) {
  many cost[8][8], flip[8][8], size[8], minus[8], odd = all_of(0);
  for (size_t k = 0; k < 8; k++) {
    size[k] = magnitude_many(w[k]);
    minus[k] = choose_many(w[k] < 0, all_of(1), all_of(0));
    odd = choose_many(w[k] < 0, all_of(1) - odd, odd);
  }
  many_mask changes = odd > (f->even ? 0.f : 1.f);
  for (size_t k = 0; k < 8; k++)
    for (size_t i = 0; i < f->levels; i++) {
      many value = step * all_of(f->level[i]), rest = size[k] - value;
      cost[k][i] = h[k] * rest * rest;
      if (!f->even) continue;
      many more = 4 * (h[k] * size[k] * value);
      flip[k][i] = f->width == 8 ? choose_many(changes, more, all_of(0)) : more;
    }
  many first = odd, second = all_of(0), least;
  lattice_pick same[2], changed[2];
  lattice_table tables[2][2];
  size_t points = 8 / f->width, half = f->width / 2;
  for (size_t i = 0; i < points; i++) {
    for (size_t j = 0; j < 2; j++) {
      size_t start = i * f->width + j * half;
      lattice_table_of(f, cost + start, flip + start, j == 1, &tables[i][j]);
    }
    lattice_pick_runs(f, &tables[i][0], &tables[i][1], &same[i], &changed[i]);
  }
  if (f->width == 8) {
    least = same[0].cost;
  } else {
    many neither = same[0].cost + same[1].cost, both = changed[0].cost + changed[1].cost;
    many one = changed[0].cost + same[1].cost, other = same[0].cost + changed[1].cost;
    least = neither;
    if (f->even) {
      many flips = choose_many(both < neither, all_of(1), all_of(0));
      many which = choose_many(one < other, all_of(1), all_of(0));
      first = choose_many(changes, which, flips);
      second = choose_many(changes, all_of(1) - which, flips);
      least = choose_many(changes, least_of(one, other), least_of(both, neither));
    }
  }
  if (!values) return least;
  for (size_t i = 0; i < points; i++) {
    const lattice_table *inner = &tables[i][0], *outer = &tables[i][1];
    many number = lattice_number(f, inner, outer, same[i].run, f->even && f->width == 8);
    if (f->even && f->width == 4) {
      many other = lattice_number(f, inner, outer, changed[i].run, true);
      number = choose_many((i == 0 ? first : second) > 0, other, number);
    }
    lattice_entries(f, number, values + i * f->width);
  }
  // The sign that costs least to change, among the weights of each point.
  for (size_t start = 0; f->even && start < 8; start += f->width) {
    many fewest = all_of(__builtin_inff()), place = all_of(8), change = start == 0 ? first : second;
    for (size_t k = start; k < start + f->width; k++) {
      many more = h[k] * size[k] * values[k];
      place = choose_many(more < fewest, all_of((float)k), place);
      fewest = least_of(more, fewest);
    }
    for (size_t k = start; k < start + f->width; k++) {
      many turned = choose_many(place == (float)k, all_of(1) - minus[k], minus[k]);
      minus[k] = choose_many(change > 0, turned, minus[k]);
    }
  }
  for (size_t k = 0; k < 8; k++) values[k] = choose_many(minus[k] > 0, -values[k], values[k]);
  return least;
}

/// The same for points with signs.
INGOT_INLINE many lattice_nearest_shifted(
    const lattice_form *f, const many *w, const many *h, many step, many zero, many *values) {
  many cost[8][8];
  for (size_t k = 0; k < 8; k++)
    for (size_t i = 0; i < f->levels; i++) {
      many rest = w[k] - step * (all_of(f->level[i]) - zero);
      cost[k][i] = h[k] * rest * rest;
    }
  lattice_pick same, changed;
  lattice_table inner, outer;
  lattice_table_of(f, cost, NULL, false, &inner);
  lattice_table_of(f, cost + 4, NULL, true, &outer);
  lattice_pick_runs(f, &inner, &outer, &same, &changed);
  if (values) lattice_entries(f, lattice_number(f, &inner, &outer, same.run, false), values);
  return same.cost;
}

INGOT_INLINE many lattice_nearest_of(int type, const many *w, const many *h, many step, many zero, many *values) {
  lattice_form form = lattice_form_of(type);
  if (form.signs) return lattice_nearest_signed(&form, w, h, step, values);
  if (form.shifted != LATTICE_GROUP) return lattice_nearest_shifted(&form, w, h, step, zero, values);
  many found[2][8], costs[2];
  for (int i = 0; i < 2; i++)
    costs[i] =
        lattice_nearest_shifted(&form, w, h, step, all_of(i == 0 ? -0.125f : 0.125f), values ? found[i] : NULL);
  many_mask up = costs[0] <= costs[1];
  for (size_t k = 0; values && k < 8; k++)
    values[k] = choose_many(up, found[0][k] + all_of(0.125f), found[1][k] - all_of(0.125f));
  return least_of(costs[0], costs[1]);
}

static __attribute__((noinline)) many BODY(lattice_nearest)(
    int type, const many *w, const many *h, many step, many zero, many *values) {
  many least = all_of(0);
#define NEAREST(constant) least = lattice_nearest_of(constant, w, h, step, zero, values)
  LATTICE_CASES(type, NEAREST)
#undef NEAREST
  return least;
}

static __attribute__((noinline)) many BODY(lattice_cost)(
    int type, const many *w, const many *h, many step, many zero) {
  many least = all_of(0);
#define COST(constant) least = lattice_nearest_of(constant, w, h, step, zero, NULL)
  LATTICE_CASES(type, COST)
#undef COST
  return least;
}

#endif
