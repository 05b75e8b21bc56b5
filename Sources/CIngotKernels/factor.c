// Cholesky factors and their inverses by halves, on the products of product.c: the bits are the same on every machine.
//
//     A = LLᵀ:  L₁₁ of A₁₁;  L₂₁ = A₂₁ L₁₁⁻ᵀ;  L₂₂ of A₂₂ - L₂₁ L₂₁ᵀ
//     M = L⁻¹:  M₁₁ and M₂₂ of L₁₁ and L₂₂;  M₂₁ = -M₂₂ L₂₁ M₁₁
//
// What has at most CORNER rows is computed element by element; its inverse also solves for the rows below it. Where
// halves are cut depends on their size alone.
#include "factor.h"

#include <math.h>
#include <string.h>

#include "product.h"

#pragma STDC FP_CONTRACT OFF

void ingot_corner_scalar(const ingot_corner *corner) {
  float *u = corner->square, *m = corner->inverse;
  for (size_t j = 0; j < corner->count; j++) {
    for (size_t i = j; i < corner->count; i++)
      for (size_t k = 0; k < j; k++)
        u[j * CORNER + i] = fmaf(-u[k * CORNER + j], u[k * CORNER + i], u[j * CORNER + i]);
    float own = u[j * CORNER + j];
    if (!(own > 0)) {
      *corner->definite = false;
      return;
    }
    own = sqrtf(own);
    for (size_t i = j; i < corner->count; i++) u[j * CORNER + i] /= own;
    u[j * CORNER + j] = own;
  }
  for (size_t i = 0; i < corner->count; i++)
    for (size_t j = 0; j < corner->count; j++) {
      float sum = i == j ? 1 : 0;
      for (size_t k = 0; k < i; k++) sum = fmaf(-u[k * CORNER + i], m[k * CORNER + j], sum);
      m[i * CORNER + j] = sum / u[i * CORNER + i];
    }
}

/// A matrix that is factored in place, row by row `leading` values apart.
typedef struct {
  ingot_isa isa;
  size_t leading;
  float *inverses;  // of the corners on the diagonal, one after the other
  float *scratch;   // of products
  float *rows;      // (DEPTH, columns) of a product that is made in place
  bool definite;
} work;

/// Where a triangle of more than CORNER rows is cut.
static size_t half(size_t n) { return (n / 2 + CORNER - 1) / CORNER * CORNER; }

/// c (m, n) ← alpha · a · b + beta · c, all of them parts of the matrix or as far from row to row as it.
static void multiply(
    const work *w, size_t m, size_t n, size_t k, float alpha, const float *a, const float *b, size_t ldb,
    bool b_turned, float beta, float *c, bool lower) {
  ingot_product p = {0};
  p.m = m, p.n = n, p.k = k, p.a = a, p.lda = w->leading, p.b = b, p.ldb = ldb, p.b_turned = b_turned;
  p.alpha = alpha, p.beta = beta, p.c = c, p.ldc = w->leading, p.lower = lower;
  ingot_multiply(w->isa, &p, w->scratch);
}

/// b (m, n) ← b L⁻ᵀ, the corners of L at `inverses`.
static void solve(const work *w, size_t m, size_t n, const float *l, const float *inverses, float *b) {
  if (n <= CORNER) {
    // In place: of a row all terms, at most DEPTH, are held before it is written.
    multiply(w, m, n, n, 1, b, inverses, CORNER, false, 0, b, false);
    return;
  }
  size_t h = half(n);
  solve(w, m, h, l, inverses, b);
  multiply(w, m, n - h, h, -1, b, l + h * w->leading, w->leading, false, 1, b + h, false);
  solve(w, m, n - h, l + h * w->leading + h, inverses + h * CORNER, b + h);
}

static void factor(work *w, size_t n, float *a, float *inverses) {
  if (n <= CORNER) {
    float square[CORNER * CORNER] __attribute__((aligned(64)));
    memset(square, 0, sizeof square);
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j <= i; j++) square[j * CORNER + i] = a[i * w->leading + j];
    ingot_corner corner = {square, inverses, n, &w->definite};
    INGOT_DISPATCH(w->isa, ingot_corner, &corner);
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j <= i; j++) a[i * w->leading + j] = square[j * CORNER + i];
    return;
  }
  size_t h = half(n);
  float *below = a + h * w->leading;
  factor(w, h, a, inverses);
  if (!w->definite) return;
  solve(w, n - h, h, a, inverses, below);
  multiply(w, n - h, n - h, h, -1, below, below, w->leading, false, 1, below + h, true);
  factor(w, n - h, below + h, inverses + h * CORNER);
}

static void invert(const work *w, size_t n, float *l, const float *inverses) {
  if (n <= CORNER) {
    for (size_t i = 0; i < n; i++) memcpy(l + i * w->leading, inverses + i * CORNER, n * sizeof *l);
    return;
  }
  size_t h = half(n), m = n - h;
  float *below = l + h * w->leading, *corner = below + h;
  invert(w, h, l, inverses);
  invert(w, m, corner, inverses + h * CORNER);
  // L₂₁ M₁₁ in place, a run of columns after the other: the terms of a run's own columns come first, and are held before
  // they are written; those behind it are as they were.
  for (size_t first = 0; first < h; first += DEPTH)
    multiply(
        w, m, h - first < DEPTH ? h - first : DEPTH, h - first, 1, below + first, l + first * w->leading + first,
        w->leading, true, 0, below + first, false);
  // -M₂₂ times that, the last rows first; a run's own rows are set aside.
  for (size_t end = m; end > 0;) {
    size_t first = (end - 1) / DEPTH * DEPTH;
    for (size_t i = first; i < end; i++)
      memcpy(w->rows + (i - first) * h, below + i * w->leading, h * sizeof *l);
    const float *rows = corner + first * w->leading;
    float *out = below + first * w->leading;
    multiply(w, end - first, h, end - first, -1, rows + first, w->rows, h, true, 0, out, false);
    if (first > 0) multiply(w, end - first, h, first, -1, rows, below, w->leading, true, 1, out, false);
    end = first;
  }
}

size_t ingot_factor_floats(size_t n) {
  return ingot_product_most_floats() + (n + CORNER) * CORNER + DEPTH * n;
}

bool ingot_invert_cholesky(ingot_isa isa, size_t n, float *a, float *scratch) {
  work w = {isa, n, NULL, NULL, NULL, true};
  w.inverses = scratch;
  w.scratch = scratch + (n + CORNER) * CORNER;
  w.rows = w.scratch + ingot_product_most_floats();
  // The triangles above take part in products.
  for (size_t i = 0; i < n; i++) memset(a + i * n + i + 1, 0, (n - i - 1) * sizeof *a);
  factor(&w, n, a, w.inverses);
  if (w.definite) invert(&w, n, a, w.inverses);
  return w.definite;
}
