// Products with activations that are rounded to 8 bits; see ../rounded.h.
#ifndef INGOT_VECTOR_ROUNDED_H
#define INGOT_VECTOR_ROUNDED_H

#include "code_panel.h"

/// Whether bytes are summed with a sign, so that codes of more than 127 are taken 128 less.
#if defined(INGOT_VNNI)
enum { ROUNDED_SIGNED = 0 };
#else
enum { ROUNDED_SIGNED = 1 };
#endif

/// To each lane of `sums`, four codes times four activations. `wide` is a constant; such codes have a sign where ROUNDED_SIGNED is.
INGOT_INLINE lanes_i32 add_bytes(lanes_i32 sums, lanes_u32 codes, int32_t x, const bool wide) {
#if defined(INGOT_VNNI)
  (void)wide;
  return (lanes_i32)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)codes, _mm512_set1_epi32(x));
#elif defined(INGOT_X86)
  typedef int64_t eight_i64 __attribute__((vector_size(64)));
  eight_i64 all = (eight_i64)codes;
  __m256i low = (__m256i)__builtin_shufflevector(all, all, 0, 1, 2, 3);
  __m256i high = (__m256i)__builtin_shufflevector(all, all, 4, 5, 6, 7);
  __m256i four = _mm256_set1_epi32(x), four_low = four, four_high = four, ones = _mm256_set1_epi16(1);
  // Two products of at most 128 by 127 fit 16 bits.
  if (wide) {
    four_low = _mm256_sign_epi8(four, low), four_high = _mm256_sign_epi8(four, high);
    low = _mm256_abs_epi8(low), high = _mm256_abs_epi8(high);
  }
  low = _mm256_madd_epi16(_mm256_maddubs_epi16(low, four_low), ones);
  high = _mm256_madd_epi16(_mm256_maddubs_epi16(high, four_high), ones);
  typedef int32_t eight_i32 __attribute__((vector_size(32)));
  return sums + SHUFFLE((eight_i32)low, (eight_i32)high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#else
  (void)wide;
  int8x16_t four = vreinterpretq_s8_s32(vdupq_n_s32(x));
  int32_t out[PANEL], words[PANEL];
  memcpy(out, &sums, sizeof out);
  memcpy(words, &codes, sizeof words);
  _Pragma("clang loop unroll(full)") for (size_t i = 0; i < PANEL; i += 4) {
    int32x4_t sum = vld1q_s32(out + i);
    int8x16_t these = vreinterpretq_s8_s32(vld1q_s32(words + i));
#if defined(INGOT_DOT)
    sum = vdotq_s32(sum, these, four);
#else
    int16x8_t low = vmull_s8(vget_low_s8(these), vget_low_s8(four)), high = vmull_high_s8(these, four);
    sum = vpadalq_s16(sum, vpaddq_s16(low, high));
#endif
    vst1q_s32(out + i, sum);
  }
  memcpy(&sums, out, sizeof sums);
  return sums;
#endif
}

INGOT_INLINE lanes_i32 splat_integer(int32_t value) { return (lanes_i32)splat(0) + value; }

/// Adds what some blocks of columns of `count` panels, from number `panel` on, come to for `tokens` tokens from `token` on. What is const is a constant.
INGOT_INLINE void add_rounded(
    const ingot_rounded_sums *s, const code_panel *panels, size_t panel, size_t first, size_t blocks, size_t token,
    const size_t count, const size_t tokens, const bool halved, const bool offset, const bool wide, coded_fetch fetch) {
  const size_t words = halved ? 4 : 8, each = halved ? 2 : 1;
  size_t columns = s->of.source->columns, all = columns / CODE_BLOCK;
  lanes_f32 totals[ROUNDED_TOKENS];
#define EACH_TOKEN _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++)
#define EACH_SUM \
  _Pragma("clang loop unroll(full)") for (size_t i = 0; i < count; i++) \
    _Pragma("clang loop unroll(full)") for (size_t t = 0, place = i * tokens; t < tokens; t++, place++)
  float *so_far = s->totals + (panel * s->tokens + token) * PANEL;
  panels += panel;
  EACH_SUM totals[place] = first == 0 ? splat(0) : load_lanes(so_far + (i * s->tokens + t) * PANEL);
  const size_t width = blocks * CODE_BLOCK;
  const int8_t *x = rounded_codes(&s->x, s->tokens, columns, token, first);
  const float *steps = s->x.steps + token * all + first / CODE_BLOCK;
  const float *part_sums = s->x.sums + (token * all + first / CODE_BLOCK) * each;
  const int32_t *starts = s->x.starts + (token * all + first / CODE_BLOCK) * each;
  for (size_t p = 0; p < blocks * each; p++) {
    lanes_i32 sums[ROUNDED_TOKENS];
    if (p % each == 0) fetch_some(&fetch);
    EACH_SUM sums[place] = splat_integer(starts[t * all * each + p]);
    _Pragma("clang loop unroll(full)") for (size_t q = 0; q < words; q++) {
      int32_t four[ROUNDED_TOKENS];
      EACH_TOKEN memcpy(four + t, x + t * width + (p * words + q) * 4, 4);
      EACH_SUM sums[place] = add_bytes(sums[place], panels[i].codes[p * words + q], four[t], wide);
    }
    EACH_SUM {
      lanes_f32 scale = panels[i].scales[p] * splat(steps[t * all + p / each]);
      totals[place] = __builtin_elementwise_fma(scale, __builtin_convertvector(sums[place], lanes_f32), totals[place]);
      if (offset)
        totals[place] =
            __builtin_elementwise_fma(panels[i].offsets[p], splat(part_sums[t * all * each + p]), totals[place]);
    }
  }
  EACH_SUM store_lanes(so_far + (i * s->tokens + t) * PANEL, totals[place]);
#undef EACH_TOKEN
#undef EACH_SUM
}

/// Some panels, so that the activations of a few tokens serve all.
INGOT_INLINE void add_tokens(
    const ingot_rounded_sums *s, const code_panel *panels, size_t count, size_t first, size_t blocks,
    const bool halved, const bool offset, const bool wide) {
  size_t t = 0, p = 0;
  coded_fetch all = fetch_behind(s->of.source, s->of.row, count, first), none = {0};
#define SOME(count_, tokens_) \
  add_rounded(s, panels, p, first, blocks, t, count_, tokens_, halved, offset, wide, t + p == 0 ? all : none)
#if defined(INGOT_VNNI)
  // Half the loads of one panel with eight tokens.
  for (; t + 4 <= s->tokens && count > 1; t += 4) {
    for (p = 0; p + 2 <= count; p += 2) SOME(2, 4);
    if (p < count) SOME(1, 4);
  }
#endif
  for (; t + 8 <= s->tokens; t += 8)
    for (p = 0; p < count; p++) SOME(1, 8);
  for (; t + 4 <= s->tokens; t += 4)
    for (p = 0; p < count; p++) SOME(1, 4);
  for (; t < s->tokens; t++)
    for (p = 0; p < count; p++) SOME(1, 1);
#undef SOME
}

void BODY(ingot_rounded_sums)(const ingot_rounded_sums *s) {
  code_panel panels[ROUNDED_PANELS];
  size_t columns = s->of.source->columns, count = (s->of.rows + PANEL - 1) / PANEL;
  code_form form = s->form;
  for (size_t first = 0; first < columns; first += DEPTH) {
    size_t depth = columns - first < DEPTH ? columns - first : DEPTH, blocks = depth / CODE_BLOCK;
    for (size_t p = 0; p < count; p++) {
      size_t rest = s->of.rows - p * PANEL;
      ingot_coded_rows of = {s->of.source, s->of.row + p * PANEL, rest < PANEL ? rest : PANEL};
      turn_rows(&of, form, first, depth, &panels[p]);
      if (ROUNDED_SIGNED && form.wide)
        for (size_t q = 0; q < depth / 4; q++) panels[p].codes[q] ^= 0x80808080;
    }
#define ADD(halved, offset, wide) add_tokens(s, panels, count, first, blocks, halved, offset, wide)
    if (form.wide && form.halved) ADD(true, form.offset, true);
    else if (form.wide) ADD(false, form.offset, true);
    else if (form.halved && form.offset) ADD(true, true, false);
    else if (form.halved) ADD(true, false, false);
    else if (form.offset) ADD(false, true, false);
    else ADD(false, false, false);
#undef ADD
  }
  for (size_t t = 0; t < s->tokens; t++)
    for (size_t i = 0; i < s->of.rows; i++)
      s->y[t * s->leading + i] = s->totals[(i / PANEL * s->tokens + t) * PANEL + i % PANEL];
}

void BODY(ingot_round_x)(const ingot_rounding *r) {
  size_t blocks = r->columns / CODE_BLOCK, part = code_part(r->form), parts = r->columns / part;
  int zero = r->form.zero - (ROUNDED_SIGNED && r->form.wide ? 128 : 0);
  typedef int8_t lanes_i8 __attribute__((vector_size(16)));
  for (size_t t = 0; t < r->tokens; t++)
    for (size_t b = 0; b < blocks; b++) {
      const float *x = r->x + t * r->columns + b * CODE_BLOCK;
      lanes_f32 values[2] = {load_lanes(x), load_lanes(x + 16)};
      lanes_i32 a = (lanes_i32)(as_bits(values[0]) & 0x7FFFFFFF), c = (lanes_i32)(as_bits(values[1]) & 0x7FFFFFFF);
      float step = rounded_step((uint32_t)__builtin_reduce_max(__builtin_elementwise_max(a, c)));
      float inverse = rounded_inverse(step);
      int8_t *out = rounded_codes(&r->out, r->tokens, r->columns, t, b * CODE_BLOCK);
      lanes_i32 codes[2];
      for (size_t h = 0; h < 2; h++) {
        lanes_f32 rounded = values[h] * inverse + 0x1.8p23f - 0x1.8p23f;
        codes[h] = step > 0 ? __builtin_convertvector(rounded, lanes_i32) : splat_integer(0);
      }
      lanes_i8 narrow[2] = {__builtin_convertvector(codes[0], lanes_i8), __builtin_convertvector(codes[1], lanes_i8)};
      lanes_i8 even = narrow[0], odd = narrow[1];
      if (r->form.neighbours) {
        even = SHUFFLE(narrow[0], narrow[1], 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        odd = SHUFFLE(narrow[0], narrow[1], 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
      }
      memcpy(out, &even, sizeof even);
      memcpy(out + 16, &odd, sizeof odd);
      r->out.steps[t * blocks + b] = step;
      int sums[2] = {__builtin_reduce_add(codes[0]), __builtin_reduce_add(codes[1])};
      if (!r->form.halved) sums[0] += sums[1];
      for (size_t p = 0; p < CODE_BLOCK / part; p++) {
        size_t at = t * parts + b * (CODE_BLOCK / part) + p;
        r->out.sums[at] = step * (float)sums[p];
        r->out.starts[at] = -zero * sums[p];
      }
    }
}

#endif
