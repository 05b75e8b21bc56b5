// The search of ../search.c on vectors: a lane is a group of its own, or a sixteenth of one group.
#ifndef INGOT_VECTOR_SEARCH_H
#define INGOT_VECTOR_SEARCH_H


#include "affine_fits.h"

typedef struct {
  const lanes_f32 *w, *h, *hv;  // weights; importance; importance times (weight - base)
  size_t steps;
  bool across, bias, weighted;  // constants to the compiler, see search_lanes
  lanes_f32 weight_factor, real, base, most, sum_h, sum_hv;
  ingot_float storage;
} lane_view;

typedef struct {
  lanes_f32 step, zero, bias;
} lane_candidates;

typedef struct {
  lanes_f32 error, hq, hqq, hvq;
} lane_sums;

INGOT_INLINE lanes_f32 total(const lane_view *v, lanes_f32 sum) { return v->across ? sum_across(sum) : sum; }

/// Sums for the codes of `c`; the error only when `measured`; codes by division when `divided`.
INGOT_INLINE lane_sums measure_lanes(const lane_view *v, lane_candidates c, bool measured, bool divided) {
  lane_sums s = {splat(0), splat(0), splat(0), splat(0)};
  lanes_f32 inverse = 1 / c.step, low = -c.zero, high = v->most - c.zero;
  for (size_t k = 0; k < v->steps; k++) {
    lanes_f32 w = v->w[k];
    lanes_f32 shifted = v->bias ? w - c.bias : w;
    lanes_f32 q = round_even_lanes(clamp_lanes(divided ? shifted / c.step : shifted * inverse, low, high));
    lanes_f32 hq = v->weighted ? v->h[k] * q : q;
    if (v->bias) s.hq += hq;
    s.hqq += hq * q;
    s.hvq += (v->weighted || v->bias ? v->hv[k] : w) * q;
    if (measured) {
      lanes_f32 product = c.step * q;
      lanes_f32 residual = w - (v->bias ? product + c.bias : product);
      s.error += (v->weighted ? v->h[k] * residual : residual) * residual;
    }
  }
  s.hqq = total(v, s.hqq);
  s.hvq = total(v, s.hvq);
  if (v->bias) s.hq = total(v, s.hq);
  if (measured) s.error = total(v, s.error);
  return s;
}

INGOT_INLINE lanes_f32 explained_lanes(const lane_view *v, lane_sums s) {
  lanes_f32 none = splat(0);
  if (!v->bias) return choose(s.hqq > 0, s.hvq * s.hvq / s.hqq, none);
  lanes_f32 determinant = v->sum_h * s.hqq - s.hq * s.hq, covariance = v->sum_h * s.hvq - s.hq * v->sum_hv;
  lanes_i32 usable = (determinant > 0x1p-18f * (v->sum_h * s.hqq)) & (covariance > 0);
  return choose(usable, covariance * covariance / determinant, none);
}

INGOT_INLINE lane_candidates refit_lanes(const lane_view *v, lane_sums s, lanes_f32 zero) {
  lanes_f32 none = splat(0);
  lanes_i32 usable = explained_lanes(v, s) > 0;
  lane_candidates c = {none, zero, none};
  if (!v->bias) {
    lanes_f32 step = stored_steps(v->storage, s.hvq / s.hqq * v->real) * v->weight_factor;
    c.step = choose(usable, step, none);
    return c;
  }
  lanes_f32 determinant = v->sum_h * s.hqq - s.hq * s.hq, covariance = v->sum_h * s.hvq - s.hq * v->sum_hv;
  lanes_f32 bias = v->base + (v->sum_hv - covariance / determinant * s.hq) / v->sum_h;
  c.bias = choose(usable, stored_lanes(v->storage, bias * v->real) * v->weight_factor + 0.0f, none);
  lanes_f32 step = (s.hvq - (c.bias - v->base) * s.hq) / s.hqq;
  c.step = choose(
      usable & (step > 0), stored_steps(v->storage, step * v->real) * v->weight_factor, none);
  return c;
}

typedef struct {
  lane_candidates fit;
  lanes_i32 divided;
  lanes_f32 error;
} lane_best;

/// Measures `c` where its step is not 0, keeps it where it is the best so far, and gives the refit of its
/// codes.
INGOT_INLINE lane_candidates improve_lanes(const lane_view *v, lane_candidates c, lane_best *best) {
  lanes_f32 none = splat(0);
  lane_sums s = measure_lanes(v, c, true, false);
  lanes_i32 tried = (lanes_i32)(c.step != 0), better = tried & (lanes_i32)(s.error < best->error);
  best->error = choose(better, s.error, best->error);
  best->fit.step = choose(better, c.step, best->fit.step);
  best->fit.zero = choose(better, c.zero, best->fit.zero);
  best->fit.bias = choose(better, c.bias, best->fit.bias);
  best->divided &= ~better;
  lane_candidates next = refit_lanes(v, s, c.zero);
  next.step = choose(tried, next.step, none);
  return next;
}

INGOT_INLINE lane_candidates grid_lanes(
    const ingot_quantize_job *job, int i, lanes_f32 low, lanes_f32 high, lanes_f32 most, float half) {
  float unit = search_unit[job->scheme][job->bits];
  lanes_f32 none = splat(0);
  lane_candidates c = {none, none, none};
  if (job->scheme == INGOT_SYMMETRIC) {
    lanes_i32 below = -low > high;
    lanes_f32 extreme = choose(below, -low, high);
    float keep = 1 - unit * search_symmetric[i / 2];
    lanes_i32 negative = i % 2 == 0 ? below : ~below;
    c.step = extreme * keep / (i % 2 == 0 ? half : half - 0.5f);
    c.step = choose(negative, c.step, -c.step);
    c.zero = splat(half);
    return c;
  }
  if (job->scheme == INGOT_ZERO_POINT) {
    low = choose(low < 0, low, none) * (1 - unit * search_low[i]);
    high = choose(high > 0, high, none) * (1 - unit * search_high[i]);
    c.step = (high - low) / most;
    c.zero = round_even_lanes(clamp_lanes(-low / c.step, none, most));
    return c;
  }
  lanes_f32 range = high - low;
  c.bias = low + range * (unit * search_low[i]);
  c.step = (high - range * (unit * search_high[i]) - c.bias) / most;
  return c;
}

INGOT_INLINE lane_best search_fits(
    const lane_view *v, const ingot_quantize_job *job, lane_candidates rtn, lanes_f32 low, lanes_f32 high) {
  float half = (float)(1 << (job->bits - 1));
  lane_best best = {rtn, ~(lanes_i32){0}, splat(0)};
  best.error = measure_lanes(v, rtn, true, true).error * SEARCH_MARGIN;
  lanes_f32 explains = splat(0), zero = explains;
  lane_sums chosen = {explains, explains, explains, explains};
  for (int i = 0; i < SEARCH_CANDIDATES; i++) {
    lane_candidates c = grid_lanes(job, i, low, high, v->most, half);
    lane_sums s = measure_lanes(v, c, false, false);
    lanes_f32 more = explained_lanes(v, s);
    lanes_i32 better = more > explains;
    explains = choose(better, more, explains);
    chosen.hq = choose(better, s.hq, chosen.hq);
    chosen.hqq = choose(better, s.hqq, chosen.hqq);
    chosen.hvq = choose(better, s.hvq, chosen.hvq);
    zero = choose(better, c.zero, zero);
  }
  lane_candidates next = refit_lanes(v, chosen, zero);
  for (int i = 0; i < SEARCH_REFITS; i++) next = improve_lanes(v, next, &best);
  if (job->scheme == INGOT_ZERO_POINT) {
    lane_candidates centre = best.fit;
    for (int side = -1; side <= 1; side += 2) {
      lane_candidates c = centre;
      c.zero = clamp_lanes(centre.zero + (float)side, splat(0), v->most);
      for (int i = 0; i < 2; i++) c = improve_lanes(v, c, &best);
    }
  }
  return best;
}

/// The view's variable parts as constants, so that each case is compiled for itself.
static lane_best search_lanes(
    lane_view v, const ingot_quantize_job *job, lane_candidates rtn, lanes_f32 low, lanes_f32 high) {
  if (v.across) {
    v.across = v.weighted = true;
    v.bias = job->scheme == INGOT_BIAS;
    return search_fits(&v, job, rtn, low, high);
  }
  v.across = false;
  if (job->scheme == INGOT_BIAS) {
    v.bias = true;
    v.weighted = true;
    return search_fits(&v, job, rtn, low, high);
  }
  v.bias = false;
  if (v.weighted) {
    v.weighted = true;
    return search_fits(&v, job, rtn, low, high);
  }
  v.weighted = false;
  return search_fits(&v, job, rtn, low, high);
}

#endif
