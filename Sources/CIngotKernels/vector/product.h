// Tiles of matrix products: the sums of some rows of a and some panels of b stay in registers.
#ifndef INGOT_VECTOR_PRODUCT_H
#define INGOT_VECTOR_PRODUCT_H

#include "../product.h"
#include "lanes.h"

// Rows of a in a tile, and panels that it takes together: as many sums as leave registers for the panels' values and one
// of a.
#if defined(INGOT_VBMI)
enum { TILE_ROWS = 12, TILE_PANELS = 2 };
#define TILES(tile) \
  tile(1) tile(2) tile(3) tile(4) tile(5) tile(6) tile(7) tile(8) tile(9) tile(10) tile(11) tile(12)
#else
enum { TILE_ROWS = 6, TILE_PANELS = 1 };
#define TILES(tile) tile(1) tile(2) tile(3) tile(4) tile(5) tile(6)
#endif
/// Terms between two looks at what is wanted next.
enum { RUN = 16 };

/// Lines that are still to be fetched ahead, so many for each RUN terms.
typedef struct {
  size_t row, line, each;
} next_lines;

INGOT_INLINE void fetch_lines(const ingot_strip *s, next_lines *next) {
  for (size_t i = 0; i < next->each && next->row < s->ahead_rows; i++) {
    __builtin_prefetch(s->ahead + next->row * s->ahead_stride + next->line * 64);
    if (++next->line < s->ahead_lines) continue;
    next->line = 0;
    next->row++;
  }
}

/// A row of a tile that has only some columns of its panels.
static void store_some(const ingot_strip *s, float *c, const float *sums, size_t count) {
  for (size_t j = 0; j < count; j++)
    c[j] = __builtin_fmaf(s->alpha, sums[j], s->keep == 0 ? 0 : s->keep * c[j]);
}

/// `rows` and `panels` are constants where this is inlined.
INGOT_INLINE void product_tile(
    const ingot_strip *s, next_lines *next, size_t row, size_t panel, const size_t rows, const size_t panels) {
  lanes_f32 held[TILE_ROWS][TILE_PANELS];
  const float *a = s->a + row * DEPTH, *b = s->b + panel * PANEL * DEPTH;
  float *c = s->c + row * s->leading + panel * PANEL;
#define EACH_ROW _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++)
#define EACH_PANEL _Pragma("clang loop unroll(full)") for (size_t p = 0; p < panels; p++)
#define TERM(l) { \
    lanes_f32 w[TILE_PANELS]; \
    EACH_PANEL w[p] = load_lanes(b + p * PANEL * DEPTH + (l) * PANEL); \
    EACH_ROW { \
      lanes_f32 x = splat(a[r * DEPTH + (l)]); \
      EACH_PANEL held[r][p] = __builtin_elementwise_fma(x, w[p], held[r][p]); \
    } \
  }
  // By the time the sums are there, so is what they are added to.
  EACH_ROW EACH_PANEL __builtin_prefetch(c + r * s->leading + p * PANEL, 1);
  EACH_ROW EACH_PANEL held[r][p] = splat(0);
  size_t l = 0;
  for (; l + RUN <= s->depth; l += RUN) {
    fetch_lines(s, next);
    _Pragma("clang loop unroll_count(4)") for (size_t i = l; i < l + RUN; i++) TERM(i)
  }
  for (; l < s->depth; l++) TERM(l)
  size_t end = (panel + panels) * PANEL;
  if (strip_columns(s, row) >= end) {
    lanes_f32 alpha = splat(s->alpha), keep = splat(s->keep);
    EACH_ROW EACH_PANEL {
      float *at = c + r * s->leading + p * PANEL;
      lanes_f32 old = s->keep == 0 ? splat(0) : load_lanes(at) * keep;
      store_lanes(at, __builtin_elementwise_fma(alpha, held[r][p], old));
    }
    return;
  }
  float sums[TILE_ROWS][TILE_PANELS * PANEL];
  EACH_ROW EACH_PANEL store_lanes(&sums[r][p * PANEL], held[r][p]);
  for (size_t r = 0; r < rows; r++) {
    size_t columns = strip_columns(s, row + r);
    if (columns > panel * PANEL)
      store_some(s, c + r * s->leading, sums[r], columns < end ? columns - panel * PANEL : panels * PANEL);
  }
#undef TERM
#undef EACH_ROW
#undef EACH_PANEL
}

/// A tile of `rows` rows and all panels from `panel` on, at most TILE_PANELS.
static void product_rows(const ingot_strip *s, next_lines *next, size_t row, size_t rows, size_t panel) {
  bool full = s->panels - panel >= TILE_PANELS;
#define TILE(count) \
  case count: \
    if (full) product_tile(s, next, row, panel, count, TILE_PANELS); \
    else product_tile(s, next, row, panel, count, 1); \
    return;
  switch (rows) { TILES(TILE) }
#undef TILE
}

void BODY(ingot_strip)(const ingot_strip *s) {
  size_t tiles = (s->rows + TILE_ROWS - 1) / TILE_ROWS;
  size_t runs = tiles * ((s->panels + TILE_PANELS - 1) / TILE_PANELS) * (DEPTH / RUN);
  next_lines next = {0, 0, (s->ahead_rows * s->ahead_lines + runs - 1) / runs};
  // Panels stay in the first cache while rows pass. These are dealt out evenly, as 7 to 4 and 3.
  for (size_t panel = 0; panel < s->panels; panel += TILE_PANELS)
    for (size_t t = 0, row = 0; t < tiles; t++) {
      size_t end = s->rows * (t + 1) / tiles;
      // Tiles above the diagonal have no columns.
      if (strip_columns(s, end - 1) > panel * PANEL) product_rows(s, &next, row, end - row, panel);
      row = end;
    }
}
#undef TILES

typedef float eight_f32 __attribute__((vector_size(32)));

#define SWAP_EIGHT(by, low, high) \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < 8; i++) { \
    if (i & (by)) continue; \
    eight_f32 a = rows[i], b = rows[i + (by)]; \
    rows[i] = SHUFFLE(a, b, UNWRAPPED low); \
    rows[i + (by)] = SHUFFLE(a, b, UNWRAPPED high); \
  }

/// Rows become columns; eight of them, since sixteen would not fit the registers of AVX2.
INGOT_INLINE void turn_eight(eight_f32 rows[8]) {
  SWAP_EIGHT(4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))
  SWAP_EIGHT(2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
  SWAP_EIGHT(1, (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15))
}

void BODY(ingot_turned)(const ingot_turned *t) {
  for (size_t row = 0; row < t->rows; row += 8) {
    size_t rows = t->rows - row < 8 ? t->rows - row : 8, column = 0;
    const float *in = t->in + row * t->stride;
    float *out = t->out + row;
    if (rows == 8)
      for (; column + 8 <= t->columns; column += 8) {
        eight_f32 block[8];
        _Pragma("clang loop unroll(full)") for (size_t i = 0; i < 8; i++)
            memcpy(&block[i], in + i * t->stride + column, 32);
        turn_eight(block);
        _Pragma("clang loop unroll(full)") for (size_t i = 0; i < 8; i++)
            memcpy(out + (column + i) * t->leading, &block[i], 32);
      }
    for (; column < t->columns; column++)
      for (size_t i = 0; i < rows; i++) out[column * t->leading + i] = in[i * t->stride + column];
  }
}

INGOT_INLINE eight_f32 splat_eight(float x) { return (eight_f32){x, x, x, x, x, x, x, x}; }

/// `rows` is a constant where this is inlined.
INGOT_INLINE void direct_rows(const ingot_direct *d, const size_t rows) {
  // Two times eight rows of b: their chains hide each other's latency.
  eight_f32 held[DIRECT_ROWS][2];
#define EACH_ROW _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++)
#define EACH_HALF _Pragma("clang loop unroll(full)") for (size_t h = 0; h < 2; h++)
#define EACH_LANE _Pragma("clang loop unroll(full)") for (size_t i = 0; i < 8; i++)
  EACH_ROW EACH_HALF held[r][h] = splat_eight(0);
  size_t l = 0;
  for (; l + 8 <= d->depth; l += 8) {
    EACH_HALF {
      const float *b = d->b + h * 8 * d->stride + l;
      eight_f32 block[8];
      EACH_LANE {
        memcpy(&block[i], b + i * d->stride, 32);
        if (l % 16 == 0) __builtin_prefetch(b + i * d->stride + DEPTH);
      }
      turn_eight(block);
      EACH_LANE EACH_ROW held[r][h] =
          __builtin_elementwise_fma(splat_eight(d->a[r * DEPTH + l + i]), block[i], held[r][h]);
    }
  }
  for (; l < d->depth; l++)
    EACH_HALF {
      eight_f32 column;
      EACH_LANE column[i] = d->b[(h * 8 + i) * d->stride + l];
      EACH_ROW held[r][h] = __builtin_elementwise_fma(splat_eight(d->a[r * DEPTH + l]), column, held[r][h]);
    }
  EACH_ROW EACH_HALF {
    float *c = d->c + r * d->leading + h * 8;
    eight_f32 old = splat_eight(0);
    if (d->keep != 0) {
      memcpy(&old, c, 32);
      old *= splat_eight(d->keep);
    }
    old = __builtin_elementwise_fma(splat_eight(d->alpha), held[r][h], old);
    memcpy(c, &old, 32);
  }
#undef EACH_ROW
#undef EACH_HALF
#undef EACH_LANE
}

void BODY(ingot_direct)(const ingot_direct *d) {
  if (d->rows == 1) direct_rows(d, 1);
  else direct_rows(d, 2);
}

#endif
