// Products of codes with activations that are rounded to 8 bits: sums of integers.
#include "rounded.h"

#include <math.h>

#if defined(INGOT_ARM64) && defined(__linux__)
#include <sys/auxv.h>
#endif

#pragma STDC FP_CONTRACT OFF

void ingot_round_x_scalar(const ingot_rounding *r) {
  size_t blocks = r->columns / CODE_BLOCK, part = code_part(r->form), parts = r->columns / part;
  for (size_t t = 0; t < r->tokens; t++)
    for (size_t b = 0; b < blocks; b++) {
      const float *x = r->x + t * r->columns + b * CODE_BLOCK;
      int8_t codes[CODE_BLOCK];
      int8_t *out = rounded_codes(&r->out, r->tokens, r->columns, t, b * CODE_BLOCK);
      uint32_t most = 0;
      for (size_t l = 0; l < CODE_BLOCK; l++) {
        uint32_t magnitude = float_bits(x[l]) & 0x7FFFFFFF;
        if (magnitude > most) most = magnitude;
      }
      float step = rounded_step(most), inverse = rounded_inverse(step);
      for (size_t l = 0; l < CODE_BLOCK; l++) {
        // Of a block that is not finite the step says it.
        codes[l] = step > 0 ? (int8_t)(x[l] * inverse + 0x1.8p23f - 0x1.8p23f) : 0;
        out[r->form.neighbours ? l % 2 * 16 + l / 2 : l] = codes[l];
      }
      r->out.steps[t * blocks + b] = step;
      for (size_t p = 0; p < CODE_BLOCK / part; p++) {
        int sum = 0;
        for (size_t l = 0; l < part; l++) sum += codes[p * part + l];
        size_t at = t * parts + b * (CODE_BLOCK / part) + p;
        r->out.sums[at] = step * (float)sum;
        r->out.starts[at] = -r->form.zero * sum;
      }
    }
}

/// The codes of 32 columns of a row as the form has them, and the parameters of their parts.
static void rounded_weights(
    const ingot_coded *c, code_form form, size_t row, size_t block, uint8_t codes[CODE_BLOCK], float scales[2],
    float offsets[2]) {
  size_t first = block * CODE_BLOCK, parts = form.halved ? 2 : 1;
  if (c->type == INGOT_PLANES) {
    ingot_unpack_scalar(c->bits, coded_codes(c, row, first), codes, CODE_BLOCK);
    if (c->doubled_e2m1)
      for (size_t l = 0; l < CODE_BLOCK; l++) codes[l] = (uint8_t)ggml_e2m1[codes[l]] ^ 0x80;
    for (size_t p = 0; p < parts; p++) {
      size_t group = (first + 16 * p) / c->group, at = row * coded_groups(c) + group;
      scales[p] = decode_one(c->storage, c->scales, at);
      if (c->biases) offsets[p] = decode_one(c->storage, c->biases, at);
      else if (c->zeros) offsets[p] = -(scales[p] * (float)coded_zero(c, row, group));
    }
    return;
  }
  ingot_ggml type = (ingot_ggml)c->type;
  ggml_shape shape = ggml_shape_of(type);
  ggml_block all;
  ggml_read(type, coded_blocks(c, shape, row, first / shape.weights * shape.weights), &all);
  size_t within = first % shape.weights;
  for (size_t l = 0; l < CODE_BLOCK; l++)
    codes[l] = shape.table ? (uint8_t)shape.table[all.codes[within + l]] ^ 0x80 : all.codes[within + l];
  for (size_t p = 0; p < parts; p++) {
    size_t part = within / shape.part + p;
    scales[p] = ggml_scale(type, &all) * (float)all.scales[part];
    offsets[p] = -(ggml_minimum(&all) * (float)all.minima[part]);
  }
}

void ingot_rounded_sums_scalar(const ingot_rounded_sums *s) {
  const ingot_coded *c = s->of.source;
  size_t blocks = c->columns / CODE_BLOCK, part = code_part(s->form), parts = c->columns / part;
  for (size_t i = 0; i < s->of.rows; i++) {
    for (size_t t = 0; t < s->tokens; t++) s->y[t * s->leading + i] = 0;
    for (size_t b = 0; b < blocks; b++) {
      uint8_t codes[CODE_BLOCK];
      float scales[2], offsets[2];
      rounded_weights(c, s->form, s->of.row + i, b, codes, scales, offsets);
      for (size_t t = 0; t < s->tokens; t++) {
        float *y = s->y + t * s->leading + i;
        const int8_t *x = rounded_codes(&s->x, s->tokens, c->columns, t, b * CODE_BLOCK);
        for (size_t p = 0; p < CODE_BLOCK / part; p++) {
          size_t at = t * parts + b * (CODE_BLOCK / part) + p;
          int sum = s->x.starts[at];
          for (size_t l = p * part; l < (p + 1) * part; l++)
            sum += codes[l] * x[s->form.neighbours ? l % 2 * 16 + l / 2 : l];
          float scale = scales[p] * s->x.steps[t * blocks + b];
          *y = fmaf(scale, (float)sum, *y);
          if (s->form.offset) *y = fmaf(offsets[p], s->x.sums[at], *y);
        }
      }
    }
  }
}

// ---- which body --------------------------------------------------------------------------------------

#if defined(INGOT_X86)
/// Nearly every processor that has what INGOT_AVX512 stands for can also sum products of bytes; another one does it as AVX2.
static bool sums_bytes(void) { return __builtin_cpu_supports("avx512vnni"); }
#define ROUNDED_DISPATCH(isa, name, argument) \
  ((isa) == INGOT_AVX512 && sums_bytes() ? name##_avx512_vnni(argument) \
   : (isa) >= INGOT_AVX2                 ? name##_avx2(argument) \
                                         : name##_scalar(argument))
#elif defined(INGOT_ARM64)
static bool sums_bytes(void) {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & 1ul << 20;  // HWCAP_ASIMDDP
#else
  return true;
#endif
}
#define ROUNDED_DISPATCH(isa, name, argument) \
  ((isa) == INGOT_NEON ? (sums_bytes() ? name##_neon_dot(argument) : name##_neon(argument)) : name##_scalar(argument))
#else
#define ROUNDED_DISPATCH(isa, name, argument) name##_scalar(argument)
#endif

bool ingot_multiplies_rounded(const ingot_coded *c) {
  return c->type != INGOT_FLOATS && !lattice_is(c->type) && c->columns % CODE_BLOCK == 0 && c->columns > 0;
}

/// Where in the scratch things are, and its bytes.
typedef struct {
  size_t steps, sums, starts, totals, end;
} rounded_places;

static rounded_places places_of(const ingot_coded *c, size_t tokens) {
  rounded_places at;
  size_t blocks = tokens * (c->columns / CODE_BLOCK), parts = tokens * (c->columns / code_part(code_form_of(c)));
  at.steps = (tokens * c->columns + 63) / 64 * 64;
  at.sums = at.steps + 4 * blocks;
  at.starts = at.sums + 4 * parts;
  at.totals = (at.starts + 4 * parts + 63) / 64 * 64;
  at.end = at.totals + 4 * PANEL * ROUNDED_PANELS * tokens;
  return at;
}

size_t ingot_multiply_rounded_floats(const ingot_coded *c, size_t tokens) { return places_of(c, tokens).end / 4; }

void ingot_multiply_rounded(
    ingot_isa isa, const ingot_coded *c, const float *x, size_t tokens, float *y, float *scratch) {
  rounded_places at = places_of(c, tokens);
  char *base = (char *)scratch;
  code_form form = code_form_of(c);
  rounded_x rounded = {
      (int8_t *)base, (float *)(base + at.steps), (float *)(base + at.sums), (int32_t *)(base + at.starts)};
  ingot_rounding r = {x, tokens, c->columns, form, rounded};
  ROUNDED_DISPATCH(isa, ingot_round_x, &r);
  size_t most = tokens > ROUNDED_TOKENS ? ROUNDED_PANELS * PANEL : PANEL;
  for (size_t row = 0; row < c->rows; row += most) {
    size_t rows = c->rows - row < most ? c->rows - row : most;
    ingot_rounded_sums s = {
        {c, row, rows}, form, rounded, tokens, (float *)(base + at.totals), y + row, c->rows};
    ROUNDED_DISPATCH(isa, ingot_rounded_sums, &s);
  }
}
