// Matrix products whose bits are the same on every machine.
//
// An element of c is made of terms a[i][l] b[j][l], l = 0 ..< k, in this order and no other:
//
//     c[i][j] ← beta · c[i][j], or 0 where beta is 0
//     for each DEPTH terms, the last of them fewer:
//       s ← 0;  s ← fma(a[i][l], b[j][l], s) for each l, ascending
//       c[i][j] ← fma(alpha, s, c[i][j])
//
// every operation rounded once to F32. It knows nothing of the other rows of a and b, so neither tiles nor threads nor
// the width of registers show: lanes lie across rows of b, and each has a chain of its own.
//
// Rows of b are turned into panels that stay in the first cache, PANEL rows by DEPTH terms, and multiplied by all rows
// of a that fit the second.
#include "product.h"

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

enum {
  /// Rows of a that are held, DEPTH terms of each: 264 KB. More come in turns, as evenly as TILE allows.
  HELD_ROWS = 264,
  TILE = 12,
  /// Rows of b whose panels are kept for the next rows of a: 1 MB.
  KEPT_ROWS = 1024,
  /// Values of a that are held whole, all terms of them: rows of b are then read from beginning to end.
  HELD_VALUES = 65536,
  /// Panels that a turned b is cut into together.
  TURNED_PANELS = 8,
  /// Values that are fetched at once.
  LINE_BYTES = 64,
};

void ingot_strip_scalar(const ingot_strip *s) {
  for (size_t i = 0; i < s->rows; i++) {
    size_t columns = strip_columns(s, i);
    for (size_t j = 0; j < columns; j++) {
      const float *b = s->b + j / PANEL * PANEL * DEPTH + j % PANEL;
      float sum = 0, *c = s->c + i * s->leading + j;
      for (size_t l = 0; l < s->depth; l++) sum = fmaf(s->a[i * DEPTH + l], b[l * PANEL], sum);
      *c = fmaf(s->alpha, sum, s->keep == 0 ? 0 : s->keep * *c);
    }
  }
}

void ingot_direct_scalar(const ingot_direct *d) {
  for (size_t i = 0; i < d->rows; i++)
    for (size_t j = 0; j < PANEL; j++) {
      float sum = 0, *c = d->c + i * d->leading + j;
      for (size_t l = 0; l < d->depth; l++) sum = fmaf(d->a[i * DEPTH + l], d->b[j * d->stride + l], sum);
      *c = fmaf(d->alpha, sum, d->keep == 0 ? 0 : d->keep * *c);
    }
}

void ingot_turned_scalar(const ingot_turned *t) {
  for (size_t row = 0; row < t->rows; row++)
    for (size_t column = 0; column < t->columns; column++)
      t->out[column * t->leading + row] = t->in[row * t->stride + column];
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t blocks_of(size_t count, size_t block) { return (count + block - 1) / block; }

/// How a product goes about it. None of this shows in its bits.
typedef struct {
  bool whole;        // all terms of all rows of a are held
  bool kept;         // panels are kept, since rows of a come in turns
  size_t rows;       // of a that are held
  size_t columns;    // of c that are made before the next
  size_t group;      // columns whose panels are multiplied in one call
  size_t a, panels;  // floats
} course;

static course course_of(ingot_isa isa, const ingot_product *p) {
  course c;
  size_t all = p->m * blocks_of(p->k, DEPTH) * DEPTH;
  c.kept = p->m > HELD_ROWS;
  c.whole = !c.kept && all <= HELD_VALUES;
  c.rows = c.kept ? blocks_of(blocks_of(p->m, blocks_of(p->m, HELD_ROWS)), TILE) * TILE : p->m;
  // Of a turned b the rows are read some lines at a time.
  c.group = (p->b_turned ? TURNED_PANELS : isa == INGOT_AVX512 ? 2 : 1) * PANEL;
  c.columns = c.whole ? c.group : KEPT_ROWS;
  c.a = c.whole ? all : c.rows * DEPTH;
  c.panels = (c.kept ? least(blocks_of(p->n, PANEL) * PANEL, KEPT_ROWS) : c.group) * DEPTH;
  return c;
}

size_t ingot_product_most_floats(void) {
  // Either few rows are held whole, or more, or turns of them; and the most panels.
  size_t turns = (size_t)(HELD_ROWS + TILE) * DEPTH, whole = HELD_VALUES;
  return (turns > whole ? turns : whole) + KEPT_ROWS * DEPTH + PANEL * DEPTH;
}

size_t ingot_product_floats(ingot_isa isa, const ingot_product *p) {
  course c = course_of(isa, p);
  return c.a + c.panels + PANEL * DEPTH;
}

/// Rows of a from `row` on, terms from `first` on, to (rows, DEPTH).
static void hold_a(
    ingot_isa isa, const ingot_product *p, size_t row, size_t rows, size_t first, size_t depth, float *out) {
  if (p->a_turned) {
    ingot_turned t = {p->a + first * p->lda + row, p->lda, depth, rows, out, DEPTH};
    INGOT_DISPATCH(isa, ingot_turned, &t);
    return;
  }
  for (size_t i = 0; i < rows; i++)
    memcpy(out + i * DEPTH, p->a + (row + i) * p->lda + first, depth * sizeof *out);
}

/// Columns of b, which is turned, from `row` on, terms from `first` on, to panels.
static void cut_panels(const ingot_product *p, size_t row, size_t columns, size_t first, size_t depth, float *panels) {
  const float *b = p->b;
  b += first * p->ldb + row;
  for (size_t l = 0; l < depth; l++, b += p->ldb)
    for (size_t j = 0; j < columns; j += PANEL) {
      __builtin_prefetch(b + 4 * p->ldb + j);
      memcpy(panels + j * DEPTH + l * PANEL, b + j, least(PANEL, columns - j) * sizeof *b);
    }
}

/// Rows of b from `row` on, at most PANEL, terms from `first` on, to (DEPTH, PANEL).
static void turn_panel(
    ingot_isa isa, const ingot_product *p, size_t row, size_t first, size_t depth, float *panel, float *tile) {
  if (p->fill_panel) return p->fill_panel(p->source, row, least(PANEL, p->n - row), first, depth, panel);
  ingot_turned t = {tile, DEPTH, least(PANEL, p->n - row), depth, panel, PANEL};
  if (p->fill) {
    p->fill(p->source, row, t.rows, first, depth, tile);
  } else {
    t.in = (const float *)p->b + row * p->ldb + first;
    t.stride = p->ldb;
  }
  INGOT_DISPATCH(isa, ingot_turned, &t);
}

static void hold_panels(
    ingot_isa isa, const ingot_product *p, size_t row, size_t columns, size_t first, size_t depth, float *panels,
    float *tile) {
  // What lanes without a row come to is not looked at.
  if (columns % PANEL != 0) memset(panels + columns / PANEL * PANEL * DEPTH, 0, depth * PANEL * sizeof *panels);
  if (p->b_turned) {
    cut_panels(p, row, columns, first, depth, panels);
    return;
  }
  for (size_t j = 0; j < columns; j += PANEL) turn_panel(isa, p, row + j, first, depth, panels + j * DEPTH, tile);
}

/// Where rows of a are few and rows of b are F32, or become it: as many of the columns of c as make whole panels. Gives how
/// many.
static size_t multiply_directly(
    ingot_isa isa, const ingot_product *p, size_t row, size_t columns, size_t first, size_t depth, const float *a,
    float *tile) {
  if (p->m > DIRECT_ROWS || p->b_turned || p->fill_panel || p->lower) return 0;
  size_t j = 0;
  for (; j + PANEL <= columns; j += PANEL) {
    const float *b = p->b;
    size_t stride = p->ldb;
    if (p->fill) {
      p->fill(p->source, row + j, PANEL, first, depth, tile);
      b = tile, stride = DEPTH;
    } else {
      b += (row + j) * p->ldb + first;
    }
    ingot_direct d = {a, b, stride, p->m, depth, p->alpha, first == 0 ? p->beta : 1, p->c + row + j, p->ldc};
    INGOT_DISPATCH(isa, ingot_direct, &d);
  }
  return j;
}

/// What of b is wanted after the panels from row `row` and term `first` on.
static void look_ahead(const ingot_product *p, const course *course, size_t row, size_t first, ingot_strip *strip) {
  if (!p->b || p->b_turned) return;
  size_t next = row + course->group, term = first;
  if (course->whole && first + DEPTH < p->k) {
    next = row;
    term = first + DEPTH;
  } else if (course->whole) {
    term = 0;
  } else if (next % course->columns == 0 || next >= p->n) {
    next = row / course->columns * course->columns;
    term = first + DEPTH;
  }
  if (next >= p->n || term >= p->k) return;
  size_t width = p->fill ? p->width : sizeof(float);
  strip->ahead = (const char *)p->b + (next * p->ldb + term) * width;
  strip->ahead_stride = p->ldb * width;
  strip->ahead_lines = blocks_of(least(DEPTH, p->k - term) * width, LINE_BYTES);
  strip->ahead_rows = least(course->group, p->n - next);
}

void ingot_multiply(ingot_isa isa, const ingot_product *p, float *scratch) {
  if (p->m == 0 || p->n == 0) return;
  course course = course_of(isa, p);
  float *a = scratch, *panels = a + course.a, *tile = panels + course.panels;
  if (course.whole)
    for (size_t first = 0; first < p->k; first += DEPTH)
      hold_a(isa, p, 0, p->m, first, least(DEPTH, p->k - first), a + first * p->m);
  for (size_t left = 0; left < p->n; left += course.columns) {
    size_t right = least(left + course.columns, p->n);
    // The first rows that have something below the diagonal.
    size_t above = p->lower ? left / course.rows * course.rows : 0;
    for (size_t first = 0; first < p->k || first == 0; first += DEPTH) {
      size_t depth = least(DEPTH, p->k - first);
      for (size_t top = above; top < p->m; top += course.rows) {
        size_t rows = least(course.rows, p->m - top);
        if (!course.whole) hold_a(isa, p, top, rows, first, depth, a);
        const float *held = course.whole ? a + first * p->m : a;
        for (size_t next = left; next < right; next += course.group) {
          size_t columns = least(course.group, right - next);
          size_t made = multiply_directly(isa, p, next, columns, first, depth, held, tile), j = next + made;
          if (made == columns) continue;
          ingot_strip strip = {0};
          float *these = course.kept ? panels + (j - left) * DEPTH : panels;
          strip.columns = columns - made;
          strip.panels = blocks_of(strip.columns, PANEL);
          if (top == above) {
            hold_panels(isa, p, j, strip.columns, first, depth, these, tile);
            look_ahead(p, &course, next, first, &strip);
          }
          size_t skipped = p->lower && j > top ? least(j - top, rows) : 0;
          if (skipped == rows) continue;
          strip.a = held + skipped * DEPTH;
          strip.b = these;
          strip.rows = rows - skipped;
          strip.depth = depth;
          strip.diagonal = p->lower ? (ptrdiff_t)(top + skipped) - (ptrdiff_t)j + 1 : PTRDIFF_MAX / 2;
          strip.alpha = p->alpha;
          strip.keep = first == 0 ? p->beta : 1;
          strip.c = p->c + (top + skipped) * p->ldc + j;
          strip.leading = p->ldc;
          INGOT_DISPATCH(isa, ingot_strip, &strip);
        }
      }
    }
  }
}
