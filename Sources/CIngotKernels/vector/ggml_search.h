// The search of ../ggml_search.c for sixteen parts at once, one a lane: of one block, of two, or of sixteen.
#ifndef INGOT_VECTOR_GGML_SEARCH_H
#define INGOT_VECTOR_GGML_SEARCH_H

#include "../ggml_search.h"
#include "affine_fits.h"

/// Fits measured at once: as many as registers hold.
#if defined(INGOT_VBMI)
enum { GGML_TOGETHER = 4 };
#else
enum { GGML_TOGETHER = 2 };
#endif

typedef struct {
  lanes_f32 step, offset;
} ggml_lane_fit;

typedef struct {
  lanes_f32 error, v, vv, wv;
} ggml_lane_sums;

/// What the innermost loops branch on. Passed by value and constant, so that each case is compiled for itself.
typedef struct {
  bool table, minima, weighted;
} ggml_kind;

/// Weights, importance and their product in the scaled domain, column after column.
typedef struct {
  ggml_form form;
  lanes_f32 factor, real, sum_h, sum_hw;
  lanes_f32 w[32], h[32], hw[32];
} ggml_lanes;

/// As `choice`; d, m and error are the same in all lanes of a block.
typedef struct {
  lanes_f32 d, m, error, scales, minima, errors;
} ggml_lane_choice;

#if defined(INGOT_VBMI)
/// Codes next to `x` by halving: each step looks up what to compare with.
INGOT_INLINE __m512i ggml_table_codes(const int8_t *table, lanes_f32 x) {
  lanes_f32 between;
  for (int i = 0; i < 16; i++) between[i] = ggml_between(table, i < 15 ? i : 14);
  __m512i code = _mm512_maskz_set1_epi32(_mm512_cmp_ps_mask(x, splat(between[7]), _CMP_GT_OQ), 8);
  for (int step = 4; step > 0; step /= 2) {
    lanes_f32 ahead;
    for (int i = 0; i < 16; i++) ahead[i] = between[(i + step - 1) % 16];
    __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_permutexvar_ps(code, ahead), _CMP_GT_OQ);
    code = _mm512_mask_add_epi32(code, above, code, _mm512_set1_epi32(step));
  }
  return code;
}
#endif

INGOT_INLINE lanes_f32 ggml_values(const ggml_form *form, ggml_kind kind, lanes_f32 x) {
  if (!kind.table) return round_even_lanes(clamp_lanes(x, splat(form->low), splat(form->high)));
#if defined(INGOT_VBMI)
  lanes_f32 values;
  for (int i = 0; i < 16; i++) values[i] = ggml_curve[i];
  return _mm512_permutexvar_ps(ggml_table_codes(ggml_curve, x), values);
#else
  lanes_f32 value = splat(ggml_curve[0]);
  for (int i = 0; i < 15; i++)
    value += choose(x > ggml_between(ggml_curve, i), splat(ggml_curve[i + 1] - ggml_curve[i]), splat(0));
  return value;
#endif
}

INGOT_INLINE lanes_f32 ggml_codes(const ggml_form *form, ggml_kind kind, lanes_f32 x) {
  if (!kind.table) return ggml_values(form, kind, x) - form->low;
  lanes_i32 code = {0};
  // A comparison is -1 where it holds.
  for (int i = 0; i < 15; i++) code -= x > ggml_between(ggml_curve, i);
  return __builtin_convertvector(code, lanes_f32);
}

INGOT_INLINE lanes_f32 ggml_inverses(lanes_f32 step) { return choose(step != 0, 1 / step, splat(0)); }

INGOT_INLINE lanes_f32 ggml_multiples(lanes_f32 x, float least, float most) {
  // Not -0, which would show in what is multiplied with it.
  return round_even_lanes(clamp_lanes(x, splat(least), splat(most))) + 0.0f;
}

INGOT_INLINE lanes_f32 ggml_stored(const ggml_lanes *v, lanes_f32 x) {
  return stored_lanes(INGOT_F16, x * v->real) * v->factor;
}

/// Over the lanes of each block, in each of them.
INGOT_INLINE lanes_f32 ggml_total(const ggml_lanes *v, lanes_f32 x) {
  if (v->form.parts == 1) return x;
  if (v->form.parts == 16) return sum_across(x);
  x += SHUFFLE(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
  x += SHUFFLE(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  x += SHUFFLE(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  return x;
}

/// Sums for `count` fits at once: one alone would wait for its additions. The error only when `measured`.
INGOT_INLINE void ggml_measure(
    const ggml_lanes *v, ggml_kind kind, const ggml_lane_fit *fits, ggml_lane_sums *sums, size_t count,
    bool measured) {
  ggml_lane_sums s[GGML_TOGETHER];
  lanes_f32 inverse[GGML_TOGETHER];
  for (size_t i = 0; i < count; i++) {
    s[i] = (ggml_lane_sums){splat(0), splat(0), splat(0), splat(0)};
    inverse[i] = ggml_inverses(fits[i].step);
  }
  for (size_t k = 0; k < v->form.part; k++) {
    lanes_f32 w = v->w[k];
    _Pragma("clang loop unroll(full)") for (size_t i = 0; i < count; i++) {
      lanes_f32 lifted = kind.minima ? w + fits[i].offset : w;
      lanes_f32 q = ggml_values(&v->form, kind, lifted * inverse[i]);
      lanes_f32 hq = kind.weighted ? v->h[k] * q : q;
      if (kind.minima) s[i].v += hq;
      s[i].vv += hq * q;
      s[i].wv += (kind.weighted ? v->hw[k] : w) * q;
      if (!measured) continue;
      lanes_f32 residual = lifted - fits[i].step * q;
      s[i].error += (kind.weighted ? v->h[k] * residual : residual) * residual;
    }
  }
  for (size_t i = 0; i < count; i++) sums[i] = s[i];
}

typedef struct {
  lanes_f32 determinant, covariance;
  lanes_i32 usable;
} ggml_lane_line;

INGOT_INLINE ggml_lane_line ggml_line(const ggml_lanes *v, ggml_kind kind, ggml_lane_sums s) {
  ggml_lane_line l = {v->sum_h * s.vv - s.v * s.v, v->sum_h * s.wv - s.v * v->sum_hw, {0}};
  if (!kind.minima) return l;
  l.usable = (l.determinant > 0x1p-18f * (v->sum_h * s.vv)) & (l.covariance > 0);
  if (v->form.parts > 1) l.usable &= l.covariance / l.determinant * s.v > v->sum_hw;
  return l;
}

INGOT_INLINE lanes_f32 ggml_explained(const ggml_lanes *v, ggml_kind kind, ggml_lane_sums s) {
  lanes_f32 alone = choose(s.vv > 0, s.wv * s.wv / s.vv, splat(0));
  if (!kind.minima) return alone;
  ggml_lane_line l = ggml_line(v, kind, s);
  lanes_f32 both =
      v->sum_hw * v->sum_hw / v->sum_h + l.covariance * l.covariance / (v->sum_h * l.determinant);
  return choose(l.usable, both, alone);
}

INGOT_INLINE ggml_lane_fit ggml_refit(const ggml_lanes *v, ggml_kind kind, ggml_lane_sums s) {
  ggml_lane_fit f = {choose(s.vv > 0, s.wv / s.vv, splat(0)), splat(0)};
  lanes_i32 kept = f.step > GGML_LEAST_STEP;
  if (kind.minima) {
    ggml_lane_line l = ggml_line(v, kind, s);
    f.step = choose(l.usable, l.covariance / l.determinant, f.step);
    f.offset = choose(l.usable, (f.step * s.v - v->sum_hw) / v->sum_h, splat(0));
    kept = f.step > GGML_LEAST_STEP;
  } else {
    kept |= f.step < -GGML_LEAST_STEP;
  }
  f.step = choose(kept, f.step, splat(0));
  return f;
}

INGOT_INLINE ggml_lane_fit ggml_grid(
    const ggml_form *form, ggml_kind kind, int i, lanes_f32 low, lanes_f32 high) {
  ggml_lane_fit f = {splat(0), splat(0)};
  if (kind.minima) {
    lanes_f32 range = high - low;
    f.offset = -(low + range * (form->unit * form->grid[2 * i]));
    f.step = (high - range * (form->unit * form->grid[2 * i + 1]) + f.offset) / form->high;
  } else {
    f.step = choose(-low > high, low, high) * (form->grid[i] / -form->low);
  }
  return f;
}

INGOT_INLINE ggml_lane_sums ggml_chosen(lanes_i32 mask, ggml_lane_sums yes, ggml_lane_sums no) {
  ggml_lane_sums s = {
      no.error, choose(mask, yes.v, no.v), choose(mask, yes.vv, no.vv), choose(mask, yes.wv, no.wv)};
  return s;
}

INGOT_INLINE ggml_lane_fit ggml_free_fit(const ggml_lanes *v, ggml_kind kind, ggml_lane_sums *chosen) {
  lanes_f32 low = v->w[0], high = low, most = splat(0);
  for (size_t k = 0; k < v->form.part; k++) {
    low = lower(v->w[k], low);
    high = higher(v->w[k], high);
  }
  if (v->form.parts > 1) low = choose(low > 0, splat(0), low);
  *chosen = (ggml_lane_sums){most, most, most, most};
  for (int first = 0; first < v->form.tries; first += GGML_TOGETHER) {
    ggml_lane_fit fits[GGML_TOGETHER];
    ggml_lane_sums s[GGML_TOGETHER];
    for (int i = 0; i < GGML_TOGETHER; i++) fits[i] = ggml_grid(&v->form, kind, first + i, low, high);
    ggml_measure(v, kind, fits, s, GGML_TOGETHER, false);
    for (int i = 0; i < GGML_TOGETHER; i++) {
      lanes_f32 more = ggml_explained(v, kind, s[i]);
      lanes_i32 better = more > most;
      most = choose(better, more, most);
      *chosen = ggml_chosen(better, s[i], *chosen);
    }
  }
  ggml_lane_fit f = ggml_refit(v, kind, *chosen);
  for (int i = 0; i < GGML_REFITS; i++) {
    ggml_measure(v, kind, &f, chosen, 1, false);
    f = ggml_refit(v, kind, *chosen);
  }
  return f;
}

/// As stored in a block whose scaling is that of `lane`.
INGOT_INLINE lanes_f32 ggml_stored_as(const ggml_lanes *v, lanes_f32 x, size_t lane) {
  return stored_lanes(INGOT_F16, x * v->real[lane]) * v->factor[lane];
}

/// `ggml_greatest_multiple` of sixteen tries from `first` on.
INGOT_INLINE lanes_f32 ggml_greatest_multiples(float least, float most, int first) {
  const lanes_f32 order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const lanes_i32 even = {-1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0};
  lanes_f32 i = order + (float)first;
  if (least < 0) return choose(even, least + 0.25f * i, most - 0.25f * (i - 1));
  return most + 0.5f - (most > 16 ? 0.5f : 0.25f) * i;
}

/// One try a lane, block after block.
INGOT_INLINE lanes_f32 ggml_shared(
    const ggml_lanes *v, lanes_f32 wanted_lanes, lanes_f32 weight_lanes, float least, float most) {
  const lanes_i32 order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  float wanted[16], weight[16], chosen[16];
  store_lanes(wanted, wanted_lanes);
  store_lanes(weight, weight_lanes);
  for (size_t first = 0; first < 16; first += v->form.parts) {
    float extreme = 0, least_miss = 0, best = 0;
    for (size_t j = first; j < first + v->form.parts; j++) {
      float magnitude = wanted[j] < 0 ? -wanted[j] : wanted[j];
      if (magnitude > (extreme < 0 ? -extreme : extreme)) extreme = wanted[j];
      least_miss += weight[j] * wanted[j] * wanted[j];
    }
    for (int i = 0; i < GGML_SCALES; i += 16) {
      lanes_f32 multiples = ggml_greatest_multiples(least, most, i);
      lanes_f32 d = ggml_stored_as(v, extreme / multiples, first), inverse = ggml_inverses(d), sum = splat(0);
      for (size_t j = first; j < first + v->form.parts; j++) {
        lanes_f32 miss = wanted[j] - d * ggml_multiples(wanted[j] * inverse, least, most);
        sum += weight[j] * miss * miss;
      }
      float lowest_sum = lowest(sum);
      if (!(lowest_sum < least_miss)) continue;
      least_miss = lowest_sum;
      lanes_i32 here = sum == lowest_sum;
      best = d[__builtin_reduce_min((here & order) | (~here & 15))];
    }
    for (size_t j = first; j < first + v->form.parts; j++) chosen[j] = best;
  }
  return load_lanes(chosen);
}

INGOT_INLINE ggml_lane_choice ggml_first_choice(
    const ggml_lanes *v, ggml_kind kind, ggml_lane_fit fits, ggml_lane_sums s) {
  const ggml_form *form = &v->form;
  lanes_f32 none = splat(0), one = splat(1);
  if (form->parts == 1)
    return (ggml_lane_choice){ggml_stored(v, fits.step), ggml_stored(v, fits.offset), none, one, one, none};
  ggml_lane_choice c = {none, none, none, none, none, none};
  lanes_f32 weight = s.vv;
  if (kind.minima) weight = choose(ggml_line(v, kind, s).usable, s.vv - s.v * s.v / v->sum_h, s.vv);
  c.d = ggml_shared(v, fits.step, weight, form->least, form->most);
  c.scales = ggml_multiples(fits.step * ggml_inverses(c.d), form->least, form->most);
  if (!kind.minima) return c;
  lanes_f32 offsets = (c.d * c.scales * s.v - v->sum_hw) / v->sum_h;
  offsets = choose(offsets > 0, offsets, none);
  c.m = ggml_shared(v, offsets, v->sum_h, 0, form->most);
  c.minima = ggml_multiples(offsets * ggml_inverses(c.m), 0, form->most);
  return c;
}

INGOT_INLINE ggml_lane_choice ggml_improved(
    const ggml_lanes *v, ggml_kind kind, ggml_lane_choice now, ggml_lane_sums *kept) {
  const ggml_form *form = &v->form;
  ggml_lane_choice next = now;
  next.errors = splat(__builtin_inff());
  lanes_f32 inverse_m = ggml_inverses(now.m);
  int tries = form->parts > 1 ? 3 : 1, times = kind.minima && form->parts > 1 ? 2 : 1;
  ggml_lane_fit fits[6];
  ggml_lane_sums s[6];
  lanes_f32 scales[6], minima[6];
  // In pairs: the second of each has the offset that the codes of the first ask for.
  for (int again = 0; again < times; again++) {
    for (int i = 0; i < tries; i++) {
      int at = again * tries + i;
      if (again) {
        lanes_f32 offset = (fits[i].step * s[i].v - v->sum_hw) / v->sum_h;
        scales[at] = scales[i];
        minima[at] = ggml_multiples(offset * inverse_m, 0, form->most);
      } else {
        float change = (float)(i - tries / 2);
        scales[at] = clamp_lanes(now.scales + change, splat(form->least), splat(form->most));
        minima[at] = now.minima;
      }
      fits[at] = (ggml_lane_fit){now.d * scales[at], now.m * minima[at]};
    }
    ggml_lane_fit *these = fits + again * tries;
    ggml_lane_sums *those = s + again * tries;
    if (tries == 1) {
      ggml_measure(v, kind, these, those, 1, true);
    } else if (GGML_TOGETHER >= 3) {
      ggml_measure(v, kind, these, those, 3, true);
    } else {
      for (int i = 0; i < 3; i++) ggml_measure(v, kind, these + i, those + i, 1, true);
    }
  }
  for (int i = 0; i < tries; i++) {
    for (int at = i; at < times * tries; at += tries) {
      lanes_i32 better = s[at].error < next.errors;
      next.errors = choose(better, s[at].error, next.errors);
      next.scales = choose(better, scales[at], next.scales);
      next.minima = choose(better, minima[at], next.minima);
      *kept = ggml_chosen(better, s[at], *kept);
    }
  }
  next.error = ggml_total(v, next.errors);
  return next;
}

INGOT_INLINE void ggml_refit_shared(
    const ggml_lanes *v, ggml_kind kind, ggml_lane_choice *c, ggml_lane_sums s) {
  lanes_f32 a = c->scales, b = c->minima;
  lanes_f32 vv = ggml_total(v, a * a * s.vv), wv = ggml_total(v, a * s.wv), d = wv / vv, m = c->m;
  if (kind.minima) {
    lanes_f32 cross = ggml_total(v, a * b * s.v), hh = ggml_total(v, b * b * v->sum_h);
    lanes_f32 wh = ggml_total(v, b * v->sum_hw), determinant = vv * hh - cross * cross;
    lanes_i32 both = determinant > 0x1p-18f * (vv * hh);
    d = choose(both, (wv * hh - cross * wh) / determinant, (wv + c->m * cross) / vv);
    m = choose(both, (cross * wv - vv * wh) / determinant, c->m);
    if (v->form.parts > 1) {
      lanes_i32 lifted = m < 0;
      m = choose(lifted, splat(0), m);
      d = choose(lifted, wv / vv, d);
    }
    d = choose(d < 0, splat(0), d);
  }
  lanes_i32 usable = vv > 0;
  c->d = choose(usable, ggml_stored(v, d), c->d);
  c->m = choose(usable, ggml_stored(v, m), c->m);
}

INGOT_INLINE ggml_lane_choice ggml_search_lanes(const ggml_lanes *v, ggml_kind kind) {
  lanes_f32 none = splat(0);
  ggml_lane_sums s;
  ggml_lane_fit fits = ggml_free_fit(v, kind, &s);
  ggml_lane_choice best = {none, none, none, none, none, none}, now = ggml_first_choice(v, kind, fits, s);
  for (size_t k = 0; k < v->form.part; k++) best.errors += (kind.weighted ? v->hw[k] : v->w[k]) * v->w[k];
  best.error = ggml_total(v, best.errors);
  for (int round = 0; round < GGML_ROUNDS; round++) {
    now = ggml_improved(v, kind, now, &s);
    lanes_i32 better = now.error < best.error;
    best.error = choose(better, now.error, best.error);
    best.d = choose(better, now.d, best.d);
    best.m = choose(better, now.m, best.m);
    best.scales = choose(better, now.scales, best.scales);
    best.minima = choose(better, now.minima, best.minima);
    ggml_refit_shared(v, kind, &now, s);
  }
  return best;
}

static ggml_lane_choice ggml_search_cases(const ggml_lanes *v, bool weighted) {
#define SEARCH(table, minima) \
  weighted ? ggml_search_lanes(v, (ggml_kind){table, minima, true}) \
           : ggml_search_lanes(v, (ggml_kind){table, minima, false})
  if (v->form.table) return SEARCH(true, false);
  if (v->form.minima) return SEARCH(false, true);
  return SEARCH(false, false);
#undef SEARCH
}

#endif
