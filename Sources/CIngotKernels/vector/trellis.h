// Trellis codes: sixteen columns of a row at a time to decode, 32 states at a time to encode.
#ifndef INGOT_VECTOR_TRELLIS_H
#define INGOT_VECTOR_TRELLIS_H

#include "../trellis.h"
#include "lanes.h"

typedef uint16_t many_u16 __attribute__((vector_size(64)));
typedef int16_t many_i16 __attribute__((vector_size(64)));
typedef int32_t many_i32 __attribute__((vector_size(128)));

// ---- decoding --------------------------------------------------------------------------------------------------------

INGOT_INLINE lanes_u32 trellis_load(const char *words) {
  lanes_u32 value;
  memcpy(&value, words, sizeof value);
  return value;
}

INGOT_INLINE lanes_f32 trellis_values(lanes_u32 states) {
  lanes_u32 x = states * TRELLIS_MULTIPLIER;
  x = (x & 0x00FF00FF) + (x >> 8 & 0x00FF00FF);
  x = (x + (x >> 16)) & 0xFFFF;
  return __builtin_convertvector((lanes_i32)x - TRELLIS_MEAN, lanes_f32);
}

/// Columns of a row; `apart`: windows reach into a second word.
INGOT_INLINE void trellis_row_lanes(
    const char *low, const char *high, bool apart, unsigned shift, uint32_t mask, size_t columns, float scale,
    const float *column_scales, float *out) {
  for (size_t column = 0; column < columns; column += 16) {
    lanes_u32 state = trellis_load(low + column * 4) >> shift;
    if (apart) state |= trellis_load(high + column * 4) << (32 - shift);
    lanes_f32 value = trellis_values(state & mask) * splat(scale);
    store_lanes(out + column, value * load_lanes(column_scales + column));
  }
}

void BODY(ingot_decode_trellis)(
    const ingot_trellis *t, const void *codes, size_t rows, size_t columns, const float *row_scales,
    const float *column_scales, float *out) {
  uint32_t mask = (1u << t->window) - 1;
  size_t whole = columns / 16 * 16;
  for (size_t row = 0; row < rows; row++) {
    ingot_trellis ring = trellis_ring_of(t, row, rows);
    const char *words = (const char *)codes + trellis_start(t, row) * columns * 4;
    trellis_place place = trellis_place_of(&ring, row % t->ring);
    const char *low = words + place.first * columns * 4, *high = words + place.second * columns * 4;
    float *target = out + row * columns, scale = row_scales[row];
    if (place.shift + t->window > 32)
      trellis_row_lanes(low, high, true, place.shift, mask, whole, scale, column_scales, target);
    else
      trellis_row_lanes(low, high, false, place.shift, mask, whole, scale, column_scales, target);
    for (size_t column = whole; column < columns; column++) {
      uint32_t a, b;
      memcpy(&a, low + column * 4, 4);
      memcpy(&b, high + column * 4, 4);
      float value = (float)trellis_value(trellis_state(place, a, b) & mask) * scale;
      target[column] = value * column_scales[column];
    }
  }
}

// ---- encoding --------------------------------------------------------------------------------------------------------

INGOT_INLINE many_u16 load_costs(const void *source) {
  many_u16 value;
  memcpy(&value, source, sizeof value);
  return value;
}

INGOT_INLINE many_i16 splat_target(int16_t value) { return value - (many_i16){0}; }

/// trellis_cost lane for lane.
INGOT_INLINE many_u16 costs_of(many_i16 target, many_i16 values) {
  many_i16 d = __builtin_elementwise_sub_sat(target, values);
#if defined(INGOT_VBMI)
  return (many_u16)_mm512_mulhrs_epi16((__m512i)d, (__m512i)d);
#elif defined(INGOT_X86)
  union {
    many_i16 whole;
    __m256i half[2];
  } x = {d};
  x.half[0] = _mm256_mulhrs_epi16(x.half[0], x.half[0]);
  x.half[1] = _mm256_mulhrs_epi16(x.half[1], x.half[1]);
  return (many_u16)x.whole;
#else
  many_i32 wide = __builtin_convertvector(d, many_i32);
  return __builtin_convertvector((wide * wide + (1 << 14)) >> 15, many_u16);
#endif
}

#define TIMES2(a) a, a
#define TIMES4(a) TIMES2(a), TIMES2(a)
#define TIMES8(a) TIMES4(a), TIMES4(a)
#define TIMES16(a) TIMES8(a), TIMES8(a)

/// 32 >> bits values, each 2^bits times.
INGOT_INLINE many_u16 spread_out(const uint16_t *source, unsigned bits) {
  if (bits == 1) {
    lanes_u16 x;
    memcpy(&x, source, sizeof x);
    return __builtin_shufflevector(
        x, x, TIMES2(0), TIMES2(1), TIMES2(2), TIMES2(3), TIMES2(4), TIMES2(5), TIMES2(6), TIMES2(7), TIMES2(8), TIMES2(9),
        TIMES2(10), TIMES2(11), TIMES2(12), TIMES2(13), TIMES2(14), TIMES2(15));
  }
  typedef uint16_t eight __attribute__((vector_size(16)));
  eight x = {0};
  if (bits == 2) {
    memcpy(&x, source, 16);
    return __builtin_shufflevector(x, x, TIMES4(0), TIMES4(1), TIMES4(2), TIMES4(3), TIMES4(4), TIMES4(5), TIMES4(6), TIMES4(7));
  }
  if (bits == 3) {
    memcpy(&x, source, 8);
    return __builtin_shufflevector(x, x, TIMES8(0), TIMES8(1), TIMES8(2), TIMES8(3));
  }
  memcpy(&x, source, 4);
  return __builtin_shufflevector(x, x, TIMES16(0), TIMES16(1));
}

INGOT_INLINE void trellis_step_lanes(
    unsigned window, const int16_t *book, int16_t target, unsigned bits, unsigned next, const uint16_t *least,
    uint16_t *out) {
  size_t count = (size_t)1 << (window - next);
  many_i16 wanted = splat_target(target);
  for (size_t j = 0; j < count; j += 32) {
    many_u16 best = ~(many_u16){0};
#pragma clang loop unroll(full)
    for (size_t h = 0; h < (size_t)1 << next; h++) {
      size_t p = j + h * count;
      many_u16 cost = costs_of(wanted, (many_i16)load_costs(book + p));
      cost = __builtin_elementwise_add_sat(cost, spread_out(least + (p >> bits), bits));
      best = __builtin_elementwise_min(best, cost);
    }
    memcpy(out + j, &best, sizeof best);
  }
}

void BODY(ingot_trellis_forward)(
    const ingot_trellis *t, const int16_t *book, const int16_t *targets, size_t first, size_t count,
    uint16_t *least) {
  if (t->window < 5 + (t->halves + 1) / 2) {
    ingot_trellis_forward_scalar(t, book, targets, first, count, least);
    return;
  }
  size_t ends = (size_t)1 << (t->window - t->halves / 2);
  unsigned window = t->window;
  for (size_t i = 0; i < count; i++, least += ends) {
    size_t row = trellis_row(t, first + i);
    unsigned bits = trellis_bits(t, row), next = trellis_bits(t, row + 1);
    int16_t target = targets[row];
    uint16_t *out = least + ends;
    switch (bits * 8 + next) {
#define STEP(a, b) \
  case a * 8 + b: trellis_step_lanes(window, book, target, a, b, least, out); break;
      STEP(1, 2) STEP(2, 1) STEP(2, 2) STEP(2, 3) STEP(3, 2) STEP(3, 3) STEP(3, 4) STEP(4, 3) STEP(4, 4)
#undef STEP
    }
    if (i % TRELLIS_RUN < TRELLIS_RUN - 1) continue;
    many_u16 lowest = load_costs(out);
    size_t kept = (size_t)1 << (window - next);
    for (size_t j = 32; j < kept; j += 32) lowest = __builtin_elementwise_min(lowest, load_costs(out + j));
    uint16_t base = 65535;
    for (size_t lane = 0; lane < 32; lane++) base = lowest[lane] < base ? lowest[lane] : base;
    for (size_t j = 0; j < kept; j += 32) {
      many_u16 x = load_costs(out + j) - base;
      memcpy(out + j, &x, sizeof x);
    }
  }
}

#undef TIMES2
#undef TIMES4
#undef TIMES8
#undef TIMES16

#endif
