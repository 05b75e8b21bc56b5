// The search for scales with the least weighted squared error: scalar reference.
//
// A group is first scaled by a power of two so that its largest weight (and importance) lies in [1, 2):
// nothing then overflows, and no decision changes.
//
// 1. Round to nearest is the result to beat.
// 2. Every step of a grid gives codes q; the best step for these codes is known in closed form,
//    step = Σ h w q / Σ h q² (with a bias: the weighted regression line), and so is the error it leaves.
//    The candidate that leaves least goes on.
// 3. A few times: round step and bias to their stored values, choose codes with these, measure the true
//    error, keep the best, refit.
// 4. Zero points next to the best one get the same treatment.
#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

const float search_low[SEARCH_CANDIDATES] = {0, 1, 2, 3, 4, 5, 6, 8, 10, 13, -1, 0, 2, 0, 4, 1, 3, 2, 6, 0};
const float search_high[SEARCH_CANDIDATES] = {0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 0, -1, 0, 2, 1, 4, 6, 3, 0, 6};
const float search_symmetric[SEARCH_CANDIDATES / 2] = {-1, 0, 1, 2, 3, 4, 5, 7, 9, 12};
const float search_unit[3][9] = {
    {0, 0, 0.05f, 0.04f, 0.03f, 0.02f, 0.012f, 0.008f, 0.005f},
    {0, 0, 0.07f, 0.06f, 0.045f, 0.03f, 0.018f, 0.012f, 0.008f},
    {0, 0, 0.04f, 0.028f, 0.02f, 0.014f, 0.009f, 0.006f, 0.004f}};

typedef struct {
  quantize_group group;
  float weight_factor, importance_factor, real;  // powers of two; real undoes weight_factor
  float base;  // subtracted from the weights in the sums: the minimum when there is a bias, else 0
  bool bias;
  unsigned lanes;
  float h, hv;  // Σ h, Σ h v with v = w - base
} view;

typedef struct {
  float step, zero, bias;  // in the scaled domain
  bool divide;             // codes by w / step, not w * (1 / step)
} candidate;

/// Sums over a group for one assignment of codes q.
typedef struct {
  float error, hq, hqq, hvq;
} sums;

static float weight(const view *v, size_t j) { return v->group.weights[j] * v->weight_factor; }

static float importance(const view *v, size_t j) {
  return v->group.importance ? v->group.importance[j] * v->importance_factor : 1;
}

static float code(const view *v, const candidate *c, float inverse, float most, size_t j) {
  float shifted = weight(v, j) - c->bias;
  return round_even(clamp(c->divide ? shifted / c->step : shifted * inverse, -c->zero, most - c->zero));
}

static float lane_sum(const view *v, float lanes[16]) {
  if (v->lanes == 1) return lanes[0];
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; i++) lanes[i] += lanes[i + step];
  return lanes[0];
}

static sums measure(const view *v, const candidate *c, float most) {
  float error[16] = {0}, hq[16] = {0}, hqq[16] = {0}, hvq[16] = {0}, inverse = 1 / c->step;
  for (size_t j = 0; j < v->group.count; j++) {
    size_t lane = j % v->lanes;
    float w = weight(v, j), h = importance(v, j), q = code(v, c, inverse, most, j);
    float product = c->step * q;
    float residual = w - (product + c->bias);
    error[lane] += h * residual * residual;
    hq[lane] += h * q;
    hqq[lane] += h * q * q;
    hvq[lane] += h * (w - v->base) * q;
  }
  sums s = {lane_sum(v, error), lane_sum(v, hq), lane_sum(v, hqq), lane_sum(v, hvq)};
  return s;
}

/// How much of Σ h v² the best step (and bias) for these codes explains; 0 when there is no such step.
static float explained(const view *v, sums s) {
  if (!v->bias) return s.hqq > 0 ? s.hvq * s.hvq / s.hqq : 0;
  float determinant = v->h * s.hqq - s.hq * s.hq, covariance = v->h * s.hvq - s.hq * v->hv;
  bool usable = determinant > 0x1p-18f * (v->h * s.hqq) && covariance > 0;
  return usable ? covariance * covariance / determinant : 0;
}

/// The best step and bias for codes with these sums, rounded as stored; `zero` as it was. A step of 0 means
/// that there is none.
static candidate refit(const view *v, const ingot_quantize_job *job, sums s, float zero) {
  candidate c = {0, zero, 0, false};
  if (!(explained(v, s) > 0)) return c;
  float real = v->real, factor = v->weight_factor;
  if (!v->bias) {
    c.step = stored_step(job->storage, s.hvq / s.hqq * real) * factor;
    return c;
  }
  float determinant = v->h * s.hqq - s.hq * s.hq, covariance = v->h * s.hvq - s.hq * v->hv;
  float bias = v->base + (v->hv - covariance / determinant * s.hq) / v->h;
  c.bias = stored(job->storage, bias * real) * factor + 0.0f;
  // The bias being what it is now, the step follows it.
  float step = (s.hvq - (c.bias - v->base) * s.hq) / s.hqq;
  if (step > 0) c.step = stored_step(job->storage, step * real) * factor;
  return c;
}

/// Measures `c`, keeps it if it is the best so far, and gives the refit of its codes.
static candidate improve(
    const view *v, const ingot_quantize_job *job, float most, candidate c, candidate *best, float *least) {
  sums s = measure(v, &c, most);
  if (s.error < *least) {
    *least = s.error;
    *best = c;
  }
  return refit(v, job, s, c.zero);
}

static candidate grid(
    const ingot_quantize_job *job, int i, float low, float high, float most, float half) {
  float unit = search_unit[job->scheme][job->bits];
  candidate c = {0, 0, 0, false};
  if (job->scheme == INGOT_SYMMETRIC) {
    // The extreme lands on the full negative code with one sign, half a step above the positive one with
    // the other.
    float extreme = -low > high ? -low : high, keep = 1 - unit * search_symmetric[i / 2];
    bool negative = (i % 2 == 0) == (-low > high);
    c.step = extreme * keep / (i % 2 == 0 ? half : half - 0.5f);
    c.step = negative ? c.step : -c.step;
    c.zero = half;
    return c;
  }
  if (job->scheme == INGOT_ZERO_POINT) {
    low = (low < 0 ? low : 0) * (1 - unit * search_low[i]);
    high = (high > 0 ? high : 0) * (1 - unit * search_high[i]);
    c.step = (high - low) / most;
    c.zero = round_even(clamp(-low / c.step, 0, most));
    return c;
  }
  float range = high - low;
  c.bias = low + range * (unit * search_low[i]);
  c.step = (high - range * (unit * search_high[i]) - c.bias) / most;
  return c;
}

static void search_group(const ingot_quantize_job *job, quantize_group group) {
  float most = (float)((1 << job->bits) - 1), half = (float)(1 << (job->bits - 1));
  float low = group.weights[0], high = low, peak = 0;
  for (size_t j = 0; j < group.count; j++) {
    low = group.weights[j] < low ? group.weights[j] : low;
    high = group.weights[j] > high ? group.weights[j] : high;
    if (group.importance && group.importance[j] > peak) peak = group.importance[j];
  }
  affine_fit rtn = round_to_nearest_fit(job->scheme, job->storage, job->bits, low, high);
  // Importance of 0 throughout says nothing: all weights count alike.
  if (!(peak > 0)) group.importance = NULL;
  int exponent = clamped_exponent(-low > high ? -low : high);
  view v = {
      group, power_of_two(-exponent), power_of_two(-clamped_exponent(peak)), power_of_two(exponent), 0,
      job->scheme == INGOT_BIAS, job->group > SEARCH_LANE_GROUP ? 16 : 1, 0, 0};
  low *= v.weight_factor;
  high *= v.weight_factor;
  if (v.bias) v.base = low;
  candidate best = {rtn.step * v.weight_factor, rtn.zero, rtn.bias * v.weight_factor, true};

  if (rtn.step != 0) {
    float h[16] = {0}, hv[16] = {0};
    for (size_t j = 0; j < group.count; j++) {
      h[j % v.lanes] += importance(&v, j);
      hv[j % v.lanes] += importance(&v, j) * (weight(&v, j) - v.base);
    }
    v.h = lane_sum(&v, h);
    v.hv = lane_sum(&v, hv);

    float least = measure(&v, &best, most).error * SEARCH_MARGIN;
    sums chosen = {0, 0, 0, 0};
    float explains = 0, zero = 0;
    for (int i = 0; i < SEARCH_CANDIDATES; i++) {
      candidate c = grid(job, i, low, high, most, half);
      sums s = measure(&v, &c, most);
      if (explained(&v, s) > explains) {
        explains = explained(&v, s);
        chosen = s;
        zero = c.zero;
      }
    }
    candidate next = refit(&v, job, chosen, zero);
    for (int i = 0; i < SEARCH_REFITS && next.step != 0; i++)
      next = improve(&v, job, most, next, &best, &least);
    if (job->scheme == INGOT_ZERO_POINT) {
      candidate centre = best;
      for (int side = -1; side <= 1; side += 2) {
        candidate c = centre;
        c.divide = false;
        c.zero = clamp(centre.zero + (float)side, 0, most);
        for (int i = 0; i < 2 && c.step != 0; i++) c = improve(&v, job, most, c, &best, &least);
      }
    }
  }

  affine_fit fit = {best.step * v.real, best.zero, best.bias * v.real};
  if (rtn.step == 0) fit = rtn;
  write_fit(job, group.index, fit);
  float inverse = 1 / best.step;
  for (size_t j = 0; j < group.count; j++) {
    float q = rtn.step == 0 ? 0 : code(&v, &best, inverse, most, j);
    job->codes[group.codes + j] = (uint8_t)(int)(q + best.zero);
  }
}

void ingot_search_scalar(const ingot_quantize_job *job) {
  size_t groups = job->rows * groups_per_row(job);
  for (size_t index = 0; index < groups; index++) search_group(job, group_at(job, index));
}
