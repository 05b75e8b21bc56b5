// The search for the blocks with the least weighted squared error: scalar reference.
//
// Weights (and importance) of a block are scaled by a power of two so that the largest lies in [1, 2).
//
// 1. For each part by itself, a grid of ranges gives values v of the codes; the best step and offset for
//    these are a weighted regression line, and what they explain is known in closed form. The best range is
//    refitted.
// 2. A d is chosen of which all steps are nearly multiples, each miss weighted by what it costs; then, steps
//    being what they are now, likewise an m for the offsets.
// 3. A few rounds: multiples next to the present ones are tried for each part and measured with the codes
//    they lead to; then d and m are fitted to all parts' codes at once, and rounded as they are stored.
//
// Types with one scale a block have one part whose only multiple is 1.
#include "ggml_search.h"

#include "ggml_nearest.h"

#pragma STDC FP_CONTRACT OFF

const float ggml_grid_q3_k[16] = {-0.3f, -0.491f, -0.614f, -0.69f, -0.756f, -0.82f, -0.873f, -0.925f,
                                  -0.985f, -1.066f, -1.13f, -1.208f, -1.299f, 0.417f, 0.756f, 0.97f};
const float ggml_grid_q6_k[12] = {-0.866f, -0.946f, -0.981f, -0.999f, -1.034f, -1.052f,
                                  -1.07f, -1.105f, -1.141f, -1.185f, -1.229f, -1.291f};
const float ggml_grid_q4_0[16] = {-0.477f, -0.572f, -0.683f, -0.769f, -0.829f, -0.881f, -0.915f, -0.949f,
                                  -0.975f, -1.01f, -1.044f, -1.104f, -1.164f, -1.25f, 0.692f, 0.941f};
const float ggml_grid_q5_0[16] = {-0.819f, -0.863f, -0.901f, -0.927f, -0.952f, -0.971f, -0.99f, -1.003f,
                                  -1.022f, -1.041f, -1.059f, -1.078f, -1.123f, -1.154f, -1.218f, -1.3f};
const float ggml_grid_q8_0[16] = {-0.995f, -1, -1.007f, -1.015f, -1.025f, -1.032f, -1.04f, -1.048f,
                                  -1.058f, -1.066f, -1.075f, -1.085f, -1.093f, -1.104f, -1.113f, -1.12f};
const float ggml_grid_curve[16] = {-0.751f, -0.842f, -0.893f, -0.934f, -0.964f, -0.994f, -1.025f, -1.065f,
                                   -1.166f, -1.247f, 0.923f, 0.984f, 1.035f, 1.085f, 1.156f, 1.369f};
const float ggml_grid_q2_k[40] = {0, 0, -1.5f, 1, 0, 4, 0.5f, 2, 0.5f, 3,
                                  0.5f, 7, 1, 0.5f, 1.5f, -1, 2, 2, 2, 5,
                                  3, 0, 3, 2, 3, 4, 4, 1.5f, 5, 0.5f,
                                  7, 0.5f, 0, 10, 10, 0, 0, 13, 13, 0};
const float ggml_grid_q4_k[24] = {-1.5f, 0.5f, -0.5f, 0, -0.5f, 1.5f, 0, -1.5f,
                                  0, 1, 0, 1.5f, 0.5f, 0, 0.5f, 0.5f,
                                  0.5f, 1, 1, -0.5f, 1.5f, 1, 2, 0.5f};
const float ggml_grid_q5_k[24] = {-2.5f, -1.5f, -2.5f, 0.5f, -2, -2, -1.5f, 0,
                                  -0.5f, 1, 0, -2, 0, 0, 0, 0.5f,
                                  0, 1, 0.5f, 0, 1, -0.5f, 1, 0};
const float ggml_grid_q4_1[40] = {-1.5f, -1.5f, -1.5f, 0, -1.5f, 0.5f, -0.5f, 0.5f, -0.5f, 1,
                                  0, -1.5f, 0, 0, 0, 0.5f, 0, 2, 0.5f, -1.5f,
                                  0.5f, -0.5f, 0.5f, 0, 0.5f, 1, 0.5f, 1.5f, 0.5f, 2,
                                  1, 0.5f, 1, 1, 1.5f, -0.5f, 1.5f, 0, 1.5f, 0.5f};
const float ggml_grid_q5_1[40] = {-2.5f, -1.5f, -2.5f, 0.5f, -2, -2.5f, -2, -2, -2, 0.5f,
                                  -1.5f, -3, -0.5f, 0.5f, -0.5f, 1, 0, -2, 0, -0.5f,
                                  0, 0, 0, 0.5f, 0.5f, -2.5f, 0.5f, -2, 0.5f, -0.5f,
                                  0.5f, 0, 0.5f, 1.5f, 1, -0.5f, 1, 1, 1.5f, 0.5f};

typedef struct {
  float step, offset;
} fit;

/// Sums over a part for one assignment of values v to its weights.
typedef struct {
  float error, v, vv, wv;
} sums;

typedef struct {
  float w[32], h[32];
  float sum_h, sum_hw;
} part;

typedef struct {
  ggml_form form;
  float factor, real;  // powers of two; real undoes factor
  part parts[GGML_MOST_PARTS];
} view;

/// d, m, their multiples for each part, and the squared errors they leave.
typedef struct {
  float d, m, error;
  float scales[GGML_MOST_PARTS], minima[GGML_MOST_PARTS], errors[GGML_MOST_PARTS];
} choice;

static int code_of(const ggml_form *form, float x) {
  if (!form->table) return (int)(round_even(clamp(x, form->low, form->high)) - form->low);
  int code = 0;
  for (int i = 0; i < 15; i++) code += x > ggml_between(form->table, i);
  return code;
}

static float value_of(const ggml_form *form, float x) {
  return form->table ? (float)form->table[code_of(form, x)] : round_even(clamp(x, form->low, form->high));
}

static float inverse_of(float step) { return step != 0 ? 1 / step : 0; }

static float multiple_of(float x, float least, float most) { return round_even(clamp(x, least, most)); }

/// As stored, in the scaled domain.
static float stored_scale(const view *v, float x) { return stored(INGOT_F16, x * v->real) * v->factor; }

/// As a tree: half of them apart, then a quarter, …
static float total(const view *v, const float *values) {
  float x[GGML_MOST_PARTS];
  memcpy(x, values, sizeof x);
  for (size_t step = v->form.parts / 2; step > 0; step /= 2)
    for (size_t i = 0; i < step; i++) x[i] += x[i + step];
  return x[0];
}

static sums measure(const view *v, const part *p, fit f) {
  sums s = {0, 0, 0, 0};
  float inverse = inverse_of(f.step);
  for (size_t k = 0; k < v->form.part; k++) {
    float w = p->w[k], h = p->h[k], lifted = w + f.offset, q = value_of(&v->form, lifted * inverse);
    float residual = lifted - f.step * q;
    s.error += h * residual * residual;
    s.v += h * q;
    s.vv += h * q * q;
    s.wv += h * w * q;
  }
  return s;
}

/// The regression line: step `covariance / determinant`. It is no use where all codes are the same, or where
/// the offset would be below 0 though m's multiples are not.
typedef struct {
  float determinant, covariance;
  bool usable;
} line;

static line line_of(const view *v, const part *p, sums s) {
  line l = {p->sum_h * s.vv - s.v * s.v, p->sum_h * s.wv - s.v * p->sum_hw, false};
  if (v->form.minima && l.determinant > 0x1p-18f * (p->sum_h * s.vv) && l.covariance > 0)
    l.usable = v->form.parts == 1 || l.covariance / l.determinant * s.v > p->sum_hw;
  return l;
}

/// How much of Σ h w² the best step and offset for these codes explain.
static float explained(const view *v, const part *p, sums s) {
  line l = line_of(v, p, s);
  if (l.usable)
    return p->sum_hw * p->sum_hw / p->sum_h + l.covariance * l.covariance / (p->sum_h * l.determinant);
  return s.vv > 0 ? s.wv * s.wv / s.vv : 0;
}

static fit refit(const view *v, const part *p, sums s) {
  line l = line_of(v, p, s);
  fit f = {s.vv > 0 ? s.wv / s.vv : 0, 0};
  if (l.usable) {
    f.step = l.covariance / l.determinant;
    f.offset = (f.step * s.v - p->sum_hw) / p->sum_h;
  }
  bool negative = f.step < -GGML_LEAST_STEP && !v->form.minima;
  if (!(f.step > GGML_LEAST_STEP) && !negative) f.step = 0;
  return f;
}

static fit grid(const ggml_form *form, int i, float low, float high) {
  fit f = {0, 0};
  if (form->minima) {
    float range = high - low;
    f.offset = -(low + range * (form->unit * form->grid[2 * i]));
    f.step = (high - range * (form->unit * form->grid[2 * i + 1]) + f.offset) / form->high;
  } else {
    f.step = (-low > high ? low : high) * (form->grid[i] / -form->low);
  }
  return f;
}

/// The best step and offset of a part by itself, and the sums they come from.
static fit free_fit(const view *v, const part *p, sums *chosen) {
  float low = p->w[0], high = low, most = 0;
  for (size_t k = 0; k < v->form.part; k++) {
    low = p->w[k] < low ? p->w[k] : low;
    high = p->w[k] > high ? p->w[k] : high;
  }
  if (v->form.parts > 1 && low > 0) low = 0;
  *chosen = (sums){0, 0, 0, 0};
  for (int i = 0; i < v->form.tries; i++) {
    sums s = measure(v, p, grid(&v->form, i, low, high));
    float more = explained(v, p, s);
    if (more > most) {
      most = more;
      *chosen = s;
    }
  }
  fit f = refit(v, p, *chosen);
  for (int i = 0; i < GGML_REFITS; i++) {
    *chosen = measure(v, p, f);
    f = refit(v, p, *chosen);
  }
  return f;
}

/// The d whose multiples come closest to what is wanted for each part, as stored.
static float shared(const view *v, const float *wanted, const float *weight, float least, float most) {
  float extreme = 0, best = 0, least_miss = 0;
  for (size_t j = 0; j < v->form.parts; j++) {
    float magnitude = wanted[j] < 0 ? -wanted[j] : wanted[j];
    if (magnitude > (extreme < 0 ? -extreme : extreme)) extreme = wanted[j];
    least_miss += weight[j] * wanted[j] * wanted[j];
  }
  for (int i = 0; i < GGML_SCALES; i++) {
    float d = stored_scale(v, extreme / ggml_greatest_multiple(least, most, i));
    float inverse = inverse_of(d), sum = 0;
    for (size_t j = 0; j < v->form.parts; j++) {
      float miss = wanted[j] - d * multiple_of(wanted[j] * inverse, least, most);
      sum += weight[j] * miss * miss;
    }
    if (sum < least_miss) {
      least_miss = sum;
      best = d;
    }
  }
  return best;
}

/// d, m and multiples for parts fitted each by itself.
static choice first_choice(const view *v, const fit *fits, const sums *s) {
  const ggml_form *form = &v->form;
  choice c = {0};
  if (form->parts == 1) {
    c.d = stored_scale(v, fits[0].step);
    c.m = stored_scale(v, fits[0].offset);
    c.scales[0] = c.minima[0] = 1;
    return c;
  }
  float steps[GGML_MOST_PARTS], offsets[GGML_MOST_PARTS], weight[GGML_MOST_PARTS], h[GGML_MOST_PARTS];
  for (size_t j = 0; j < form->parts; j++) {
    h[j] = v->parts[j].sum_h;
    steps[j] = fits[j].step;
    // What a miss costs when the offset makes up for it as well as it can.
    weight[j] = line_of(v, &v->parts[j], s[j]).usable ? s[j].vv - s[j].v * s[j].v / h[j] : s[j].vv;
  }
  c.d = shared(v, steps, weight, form->least, form->most);
  for (size_t j = 0; j < form->parts; j++) {
    c.scales[j] = multiple_of(steps[j] * inverse_of(c.d), form->least, form->most);
    float offset = (c.d * c.scales[j] * s[j].v - v->parts[j].sum_hw) / h[j];
    offsets[j] = offset > 0 ? offset : 0;
  }
  if (!form->minima) return c;
  c.m = shared(v, offsets, h, 0, form->most);
  for (size_t j = 0; j < form->parts; j++)
    c.minima[j] = multiple_of(offsets[j] * inverse_of(c.m), 0, form->most);
  return c;
}

/// Tries the multiples next to those of part `j`, and with each the offset that its codes ask for.
static void improve_part(const view *v, const choice *now, size_t j, choice *next, sums *kept) {
  const ggml_form *form = &v->form;
  const part *p = &v->parts[j];
  int reach = form->parts > 1;
  next->errors[j] = __builtin_inff();
  for (int change = -reach; change <= reach; change++) {
    float scale = clamp(now->scales[j] + (float)change, form->least, form->most), minimum = now->minima[j];
    for (int again = 0; again <= (form->minima && form->parts > 1); again++) {
      fit f = {now->d * scale, now->m * minimum};
      sums s = measure(v, p, f);
      if (s.error < next->errors[j]) {
        next->errors[j] = s.error;
        next->scales[j] = scale;
        next->minima[j] = minimum;
        *kept = s;
      }
      float offset = (f.step * s.v - p->sum_hw) / p->sum_h;
      minimum = multiple_of(offset * inverse_of(now->m), 0, form->most);
    }
  }
}

/// d and m with the least d² Σs²vv - 2dm Σstv + m² Σt²h - 2d Σswv + 2m Σtwh for the multiples s and t.
static void refit_shared(const view *v, choice *c, const sums *s) {
  float ss[GGML_MOST_PARTS], st[GGML_MOST_PARTS], tt[GGML_MOST_PARTS];
  float sw[GGML_MOST_PARTS], tw[GGML_MOST_PARTS];
  for (size_t j = 0; j < v->form.parts; j++) {
    float a = c->scales[j], b = c->minima[j];
    ss[j] = a * a * s[j].vv;
    st[j] = a * b * s[j].v;
    tt[j] = b * b * v->parts[j].sum_h;
    sw[j] = a * s[j].wv;
    tw[j] = b * v->parts[j].sum_hw;
  }
  float vv = total(v, ss), cross = total(v, st), hh = total(v, tt), wv = total(v, sw), wh = total(v, tw);
  float determinant = vv * hh - cross * cross;
  if (!(vv > 0)) return;
  if (v->form.minima && determinant > 0x1p-18f * (vv * hh)) {
    c->d = (wv * hh - cross * wh) / determinant;
    c->m = (cross * wv - vv * wh) / determinant;
  } else {
    c->d = (wv + c->m * cross) / vv;
  }
  if (v->form.minima && v->form.parts > 1 && c->m < 0) {
    c->m = 0;
    c->d = wv / vv;
  }
  if (v->form.minima && c->d < 0) c->d = 0;
  c->d = stored_scale(v, c->d);
  c->m = stored_scale(v, c->m);
}

/// The block of zeros, and the error it leaves.
static choice no_choice(const view *v) {
  choice c = {0};
  for (size_t j = 0; j < v->form.parts; j++) {
    const part *p = &v->parts[j];
    for (size_t k = 0; k < v->form.part; k++) c.errors[j] += p->h[k] * p->w[k] * p->w[k];
  }
  c.error = total(v, c.errors);
  return c;
}

static choice search_block(const view *v) {
  fit fits[GGML_MOST_PARTS];
  sums s[GGML_MOST_PARTS];
  for (size_t j = 0; j < v->form.parts; j++) fits[j] = free_fit(v, &v->parts[j], &s[j]);
  choice best = no_choice(v), now = first_choice(v, fits, s);
  for (int round = 0; round < GGML_ROUNDS; round++) {
    choice next = now;
    for (size_t j = 0; j < v->form.parts; j++) improve_part(v, &now, j, &next, &s[j]);
    next.error = total(v, next.errors);
    if (next.error < best.error) best = next;
    now = next;
    refit_shared(v, &now, s);
  }
  return best;
}

/// Scales the weights and importance (or null) of a block, and sums them.
static view view_of(ggml_form form, const float *weights, const float *importance) {
  view v = {.form = form};
  size_t count = form.part * form.parts;
  float extreme = 0, peak = 0;
  for (size_t j = 0; j < count; j++) {
    float magnitude = weights[j] < 0 ? -weights[j] : weights[j];
    extreme = magnitude > extreme ? magnitude : extreme;
    if (importance && importance[j] > peak) peak = importance[j];
  }
  int exponent = clamped_exponent(extreme);
  float importance_factor = power_of_two(-clamped_exponent(peak));
  v.factor = power_of_two(-exponent);
  v.real = power_of_two(exponent);
  for (size_t j = 0; j < form.parts; j++) {
    part *p = &v.parts[j];
    bool heard = false;
    for (size_t k = 0; k < form.part; k++) {
      size_t place = j * form.part + k;
      p->w[k] = weights[place] * v.factor;
      p->h[k] = importance ? importance[place] * importance_factor : 1;
      heard = heard || p->h[k] > 0;
    }
    for (size_t k = 0; k < form.part; k++) {
      if (!heard) p->h[k] = GGML_UNHEARD;
      p->sum_h += p->h[k];
      p->sum_hw += p->h[k] * p->w[k];
    }
  }
  return v;
}

/// MXFP4, whose scale is a power of two: the best of a few exponents. Sums as in two halves of 16 lanes.
static void search_exponent(const ingot_ggml_job *job, size_t first, uint8_t *out) {
  const float *w = job->weights + first, *h = job->importance ? job->importance + first % job->columns : NULL;
  float extreme = 0, least = __builtin_inff(), peak = 0;
  for (size_t j = 0; j < 32; j++) {
    float magnitude = w[j] < 0 ? -w[j] : w[j];
    extreme = magnitude > extreme ? magnitude : extreme;
    if (h && h[j] > peak) peak = h[j];
  }
  unsigned greatest = e8m0_of_greatest(extreme);
  float factor = e8m0_factor(greatest), importance_factor = power_of_two(-clamped_exponent(peak));
  ggml_block best = {0};
  for (int i = 0; i < GGML_EXPONENTS; i++) {
    ggml_block block = {.d = (uint16_t)e8m0_tried(greatest, i)};
    float half = half_of_e8m0(block.d), lanes[16] = {0};
    for (size_t j = 0; j < 32; j++) {
      block.codes[j] = e2m1_nearest(w[j], half);
      float residual = (w[j] - half * (float)ggml_e2m1[block.codes[j]]) * factor;
      lanes[j % 16] += (h ? h[j] * importance_factor : 1) * residual * residual;
    }
    for (int step = 8; step > 0; step /= 2)
      for (int lane = 0; lane < step; lane++) lanes[lane] += lanes[lane + step];
    if (!(lanes[0] < least)) continue;
    least = lanes[0];
    best = block;
  }
  ggml_write(INGOT_MXFP4, &best, out);
}

void ingot_ggml_search_scalar(const ingot_ggml_job *job) {
  ggml_shape shape = ggml_shape_of(job->type);
  size_t blocks = job->rows * (job->columns / shape.weights);
  if (job->type == INGOT_MXFP4) {
    for (size_t i = 0; i < blocks; i++)
      search_exponent(job, i * shape.weights, job->blocks + i * shape.bytes);
    return;
  }
  ggml_form form = ggml_form_of(job->type);
  for (size_t i = 0; i < blocks; i++) {
    size_t first = i * shape.weights;
    view v = view_of(
        form, job->weights + first, job->importance ? job->importance + first % job->columns : NULL);
    choice best = search_block(&v);
    ggml_block block = {0};
    block.d = f16_of_float(best.d * v.real);
    // Q4_1 and Q5_1 add m.
    block.m = f16_of_float(form.parts == 1 ? -best.m * v.real : best.m * v.real);
    for (size_t j = 0; j < form.parts; j++) {
      block.scales[j] = (int16_t)best.scales[j];
      block.minima[j] = (int8_t)best.minima[j];
      float inverse = inverse_of(best.d * best.scales[j]), offset = best.m * best.minima[j];
      for (size_t k = 0; k < form.part; k++)
        block.codes[j * form.part + k] = (uint8_t)code_of(&form, (v.parts[j].w[k] + offset) * inverse);
    }
    ggml_write(job->type, &block, job->blocks + i * shape.bytes);
  }
}
