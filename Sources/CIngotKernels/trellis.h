// Bitshift trellis codes: what the scalar and the vector bodies share.
//
// The rows of a column are cut into rings: of `ring` rows, the last of the remaining ones, rounded up to 64. Bit i of a ring
// is bit i % 32 of its word i / 32. Weight r's own bits end before bit e(r) = ⌊(r + 1) · halves / 2⌋; its state is the
// `window` bits that end there, the earliest in bit 0, around the ring.
#ifndef INGOT_TRELLIS_H
#define INGOT_TRELLIS_H

#include "isa.h"

/// States are multiplied by this, and the four bytes of the product summed.
#define TRELLIS_MULTIPLIER 0x83DCD12Du
/// What the sums have for a mean.
enum { TRELLIS_MEAN = 510 };
/// Steps between two normalizations of the paths' costs.
enum { TRELLIS_RUN = 8 };
/// Widest own bits of a weight.
enum { TRELLIS_MOST = 4 };

INGOT_INLINE size_t trellis_end(const ingot_trellis *t, size_t row) { return (row + 1) * t->halves / 2; }

/// A row of a ring, counted around it less than twice.
INGOT_INLINE size_t trellis_row(const ingot_trellis *t, size_t row) { return row < t->ring ? row : row - t->ring; }

/// Own bits of a weight; behind the last row comes row 0 again.
INGOT_INLINE unsigned trellis_bits(const ingot_trellis *t, size_t row) {
  row = trellis_row(t, row);
  return (unsigned)(trellis_end(t, row) - row * t->halves / 2);
}

/// The ring of rows that row `row` of `rows` lies in.
INGOT_INLINE ingot_trellis trellis_ring_of(const ingot_trellis *t, size_t row, size_t rows) {
  size_t left = (rows - row / t->ring * t->ring + 63) / 64 * 64;
  ingot_trellis ring = {t->halves, t->window, left < t->ring ? left : t->ring};
  return ring;
}

/// Words of a column before the ring of a row: 64 rows take as many as a weight has half bits.
INGOT_INLINE size_t trellis_start(const ingot_trellis *t, size_t row) {
  return row / t->ring * t->ring / 64 * t->halves;
}

INGOT_INLINE size_t trellis_words(const ingot_trellis *t) { return t->ring * t->halves / 64; }

/// The value of a state: a whole number within ±510.
INGOT_INLINE int trellis_value(uint32_t state) {
  uint32_t x = state * TRELLIS_MULTIPLIER;
  x = (x & 0x00FF00FF) + (x >> 8 & 0x00FF00FF);
  return (int)((x + (x >> 16)) & 0xFFFF) - TRELLIS_MEAN;
}

/// Where a weight's window lies: words and shift of its first bit.
typedef struct {
  size_t first, second;
  unsigned shift;
} trellis_place;

INGOT_INLINE trellis_place trellis_place_of(const ingot_trellis *t, size_t row) {
  size_t words = trellis_words(t), bits = 32 * words;
  size_t start = (trellis_end(t, row) + bits - t->window) % bits;
  trellis_place p = {start / 32, (start / 32 + 1) % words, start % 32};
  return p;
}

/// The bits from a place on, of which the lowest are a window.
INGOT_INLINE uint32_t trellis_state(trellis_place place, uint32_t low, uint32_t high) {
  return low >> place.shift | (high << (31 - place.shift) << 1);
}

/// The cost of a value: a rounded square in 16 bits.
INGOT_INLINE uint16_t trellis_cost(int16_t target, int16_t value) {
  int d = target - value;
  d = d > 32767 ? 32767 : d < -32768 ? -32768 : d;
  return (uint16_t)((d * d + (1 << 14)) >> 15);
}

INGOT_INLINE uint16_t trellis_sum(uint16_t a, uint16_t b) {
  unsigned sum = (unsigned)a + b;
  return sum > 65535 ? 65535 : (uint16_t)sum;
}

/// Takes one step of all paths: from least[j], what the cheapest path costs whose last `window` - `bits` bits before
/// this weight are j, to the same before the next weight, which has `next` bits of its own.
///
/// States are numbered with the latest bit in bit 0 here: `book[p]` is the value of state p times INGOT_TRELLIS_UNIT.
INGOT_INLINE void trellis_step_scalar(
    unsigned window, const int16_t *book, int16_t target, unsigned bits, unsigned next, const uint16_t *least,
    uint16_t *out) {
  size_t count = (size_t)1 << (window - next);
  for (size_t j = 0; j < count; j++) {
    uint16_t best = 65535;
    for (size_t p = j; p >> window == 0; p += count) {
      uint16_t cost = trellis_sum(least[p >> bits], trellis_cost(target, book[p]));
      best = cost < best ? cost : best;
    }
    out[j] = best;
  }
}

INGOT_INLINE void trellis_normalize(uint16_t *least, size_t count) {
  uint16_t base = 65535;
  for (size_t j = 0; j < count; j++) base = least[j] < base ? least[j] : base;
  for (size_t j = 0; j < count; j++) least[j] = (uint16_t)(least[j] - base);
}

#endif
