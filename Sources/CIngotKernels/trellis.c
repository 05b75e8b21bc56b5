// Bitshift trellis codes (Tseng et al., "QTIP", 2024): decoding, and the search for the best path around a ring.
//
// The search is Viterbi's. What it keeps of a step is, for every end that the bits before a weight may have, the cost
// of the cheapest path to it, in 16 bits; the way back computes again which path that was. The bits where a ring
// closes are first found by paths without bounds over some weights around that place.
#include "trellis.h"

#include <string.h>

#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

bool ingot_trellis_is_valid(const ingot_trellis *t) {
  return t->halves >= 3 && t->halves <= 8 && t->window >= 8 && t->window <= 16 && t->ring >= 64 &&
         t->ring <= 4096 && t->ring % 64 == 0;
}

void ingot_decode_trellis_scalar(
    const ingot_trellis *t, const void *codes, size_t rows, size_t columns, const float *row_scales,
    const float *column_scales, float *out) {
  uint32_t mask = (1u << t->window) - 1;
  for (size_t row = 0; row < rows; row++) {
    ingot_trellis ring = trellis_ring_of(t, row, rows);
    const char *words = (const char *)codes + trellis_start(t, row) * columns * 4;
    trellis_place place = trellis_place_of(&ring, row % t->ring);
    for (size_t column = 0; column < columns; column++) {
      uint32_t low, high;
      memcpy(&low, words + (place.first * columns + column) * 4, 4);
      memcpy(&high, words + (place.second * columns + column) * 4, 4);
      float value = (float)trellis_value(trellis_state(place, low, high) & mask) * row_scales[row];
      out[row * columns + column] = value * column_scales[column];
    }
  }
}

void ingot_decode_trellis(
    ingot_isa isa, const ingot_trellis *t, const void *codes, size_t rows, size_t columns, const float *row_scales,
    const float *column_scales, float *out) {
  INGOT_DISPATCH(isa, ingot_decode_trellis, t, codes, rows, columns, row_scales, column_scales, out);
}

void ingot_trellis_book(unsigned window, int16_t *book) {
  for (uint32_t p = 0; p >> window == 0; p++) {
    uint32_t state = 0;
    for (unsigned i = 0; i < window; i++) state |= (p >> i & 1) << (window - 1 - i);
    book[p] = (int16_t)(trellis_value(state) * INGOT_TRELLIS_UNIT);
  }
}

/// Ends that the bits before a weight may have, at most.
static size_t trellis_ends(const ingot_trellis *t) { return (size_t)1 << (t->window - t->halves / 2); }

size_t ingot_trellis_scratch(const ingot_trellis *t) {
  return (t->ring + 1) * trellis_ends(t) * sizeof(uint16_t) + t->ring * (sizeof(uint16_t) + sizeof(int16_t)) + 64;
}

void ingot_trellis_forward_scalar(
    const ingot_trellis *t, const int16_t *book, const int16_t *targets, size_t first, size_t count,
    uint16_t *least) {
  size_t ends = trellis_ends(t);
  for (size_t i = 0; i < count; i++, least += ends) {
    size_t row = trellis_row(t, first + i);
    unsigned next = trellis_bits(t, row + 1);
    trellis_step_scalar(t->window, book, targets[row], trellis_bits(t, row), next, least, least + ends);
    if (i % TRELLIS_RUN == TRELLIS_RUN - 1) trellis_normalize(least + ends, (size_t)1 << (t->window - next));
  }
}

/// The states of the cheapest path that ends in `end`; gives the bits before its first weight.
static size_t trellis_back(
    const ingot_trellis *t, const int16_t *book, const int16_t *targets, size_t first, size_t count,
    const uint16_t *least, size_t end, uint16_t *states) {
  size_t ends = trellis_ends(t);
  for (size_t i = count; i-- > 0;) {
    size_t row = trellis_row(t, first + i);
    unsigned bits = trellis_bits(t, row), next = trellis_bits(t, row + 1), best = ~0u;
    // The low bits below a cost say which of the paths it is of.
    for (unsigned h = 0; h < 1u << next; h++) {
      size_t p = end + ((size_t)h << (t->window - next));
      unsigned cost = trellis_sum(least[i * ends + (p >> bits)], trellis_cost(targets[row], book[p]));
      cost = cost << TRELLIS_MOST | h;
      best = cost < best ? cost : best;
    }
    size_t state = end + ((size_t)(best & ((1u << TRELLIS_MOST) - 1)) << (t->window - next));
    if (states) states[i] = (uint16_t)state;
    end = state >> bits;
  }
  return end;
}

/// Weights on either side of where the ring closes that decide on the bits there.
static size_t trellis_reach(const ingot_trellis *t) {
  size_t reach = (size_t)t->window * 12 / t->halves;
  reach += reach % 2;
  return reach < t->ring / 2 ? reach : t->ring / 2;
}

static void trellis_forward(
    ingot_isa isa, const ingot_trellis *t, const int16_t *book, const int16_t *targets, size_t first, size_t count,
    uint16_t *least) {
  INGOT_DISPATCH(isa, ingot_trellis_forward, t, book, targets, first, count, least);
}

void ingot_trellis_ring(
    ingot_isa isa, const ingot_trellis *t, const int16_t *book, const int16_t *targets, uint16_t *states,
    void *scratch) {
  uint16_t *least = scratch;
  size_t reach = trellis_reach(t), ends = trellis_ends(t), own = (size_t)1 << (t->window - trellis_bits(t, 0));
  memset(least, 0, ends * sizeof *least);
  trellis_forward(isa, t, book, targets, t->ring - reach, 2 * reach, least);
  const uint16_t *last = least + 2 * reach * ends;
  size_t end = 0;
  for (size_t j = 1; j >> (t->window - trellis_bits(t, reach)) == 0; j++) end = last[j] < last[end] ? j : end;
  size_t border = trellis_back(t, book, targets, 0, reach, least + reach * ends, end, NULL);
  memset(least, 0xFF, own * sizeof *least);
  least[border] = 0;
  trellis_forward(isa, t, book, targets, 0, t->ring, least);
  trellis_back(t, book, targets, 0, t->ring, least, border, states);
}

void ingot_trellis_pack(const ingot_trellis *t, const uint16_t *states, void *words, size_t stride) {
  static const uint8_t reversed[] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
  size_t count = trellis_words(t), row = 0;
  uint64_t held = 0;
  unsigned filled = 0;
  for (size_t word = 0; word < count; word++) {
    for (; filled < 32; row++) {
      unsigned bits = trellis_bits(t, row);
      held |= (uint64_t)(reversed[states[row] & 15] >> (4 - bits)) << filled;
      filled += bits;
    }
    uint32_t low = (uint32_t)held;
    memcpy((char *)words + word * stride * 4, &low, 4);
    held >>= 32;
    filled -= 32;
  }
}

/// Whole steps of a target, within 16 bits.
static int16_t trellis_target(float x) {
  x = x * INGOT_TRELLIS_UNIT;
  return (int16_t)round_even(clamp(x, -32767, 32767));
}

void ingot_trellis_columns(
    ingot_isa isa, const ingot_trellis_job *job, const uint32_t *order, size_t count, float *weights,
    const float *factor, size_t stride, float *values, float *errors, void *scratch) {
  const ingot_trellis *t = &job->trellis;
  size_t rows = job->rows;
  uint16_t *states = scratch;
  int16_t *targets = (int16_t *)(states + t->ring);
  void *rest = targets + t->ring;
  rest = (char *)rest + (64 - (uintptr_t)rest % 64) % 64;
  for (size_t j = 0; j < count; j++) {
    size_t column = order[j];
    float scale = job->column_scales[column], inverse = scale != 0 ? 1 / scale : 0;
    float own = factor ? 1 / factor[j * stride + j] : 1;
    float *w = weights + j * rows, *value = values + column * rows, *error = errors + j * rows;
    for (size_t first = 0; first < rows; first += t->ring) {
      ingot_trellis ring = trellis_ring_of(t, first, rows);
      size_t some = rows - first < ring.ring ? rows - first : ring.ring;
      for (size_t i = 0; i < ring.ring; i++)
        targets[i] = i < some ? trellis_target(w[first + i] * job->inverses[first + i] * inverse) : 0;
      ingot_trellis_ring(isa, &ring, job->book, targets, states, rest);
      ingot_trellis_pack(
          &ring, states, job->codes + (trellis_start(t, first) * job->columns + column) * 4, job->columns);
      for (size_t i = 0; i < some; i++) value[first + i] = (float)(job->book[states[i]] / INGOT_TRELLIS_UNIT);
    }
    for (size_t row = 0; row < rows; row++) {
      float meant = value[row] * job->row_scales[row];
      meant = meant * scale;
      error[row] = (w[row] - meant) * own;
    }
    if (!factor) continue;
    for (size_t k = j + 1; k < count; k++) {
      float f = factor[k * stride + j], *later = weights + k * rows;
      for (size_t row = 0; row < rows; row++) later[row] = later[row] - f * error[row];
    }
  }
}
