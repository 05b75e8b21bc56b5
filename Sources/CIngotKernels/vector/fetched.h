// Rows that are asked for ahead of their products.
#ifndef INGOT_VECTOR_FETCHED_H
#define INGOT_VECTOR_FETCHED_H

#include "../coded.h"

/// What is wanted next, little by little with each block of columns: memory takes so many requests at a time and no more.
typedef struct {
  // Of codes, scales and biases: so many pieces with a block, pieces of `bytes` bytes, that far apart.
  struct {
    const uint8_t *next;
    size_t pieces, bytes, apart;
  } of[3];
} coded_fetch;

/// Beside columns from `first` on of `panels` panels from `row` on goes their share of the panels that follow, in the order in which these lie:
/// there memory gives most.
INGOT_INLINE coded_fetch fetch_behind(const ingot_coded *c, size_t row, size_t panels, size_t first) {
  size_t width = c->type != INGOT_PLANES ? 0 : coded_groups(c) * (c->storage == INGOT_F32 ? 4 : 2);
  const uint8_t *from[3] = {c->codes, c->scales, c->biases};
  size_t bytes[3] = {coded_row_bytes(c), width, c->biases ? width : 0};
  coded_fetch fetch;
  for (size_t i = 0; i < 3; i++) {
    size_t all = bytes[i] * panels * PANEL;
    fetch.of[i].next = from[i] + bytes[i] * row + all + all * first / c->columns;
    fetch.of[i].pieces = 1, fetch.of[i].bytes = fetch.of[i].apart = all * CODE_BLOCK / c->columns;
  }
  return fetch;
}

/// Likewise, but of codes with as many bytes as columns or more the columns that follow: the first cache could not hold the other panels until
/// they are wanted.
INGOT_INLINE coded_fetch fetch_near(const ingot_coded *c, size_t row, size_t panels, size_t first) {
  size_t bytes = coded_row_bytes(c);
  coded_fetch fetch = fetch_behind(c, row, panels, first);
  if (bytes < c->columns) return fetch;
  bool last = first + DEPTH >= c->columns;
  fetch.of[0].next = c->codes + bytes * (last ? row + panels * PANEL : row) + (last ? 0 : bytes * (first + DEPTH) / c->columns);
  fetch.of[0].bytes = bytes * DEPTH / c->columns, fetch.of[0].apart = bytes;
  fetch.of[0].pieces = panels * PANEL / (DEPTH / CODE_BLOCK);
  return fetch;
}

INGOT_INLINE void fetch_some(coded_fetch *fetch) {
  for (size_t i = 0; i < 3; i++)
    for (size_t p = 0; p < fetch->of[i].pieces; p++) {
      uintptr_t at = (uintptr_t)fetch->of[i].next, end = at + fetch->of[i].bytes;
      for (at &= ~(uintptr_t)63; at < end; at += 64) __builtin_prefetch((const void *)at, 0, 3);
      fetch->of[i].next += fetch->of[i].apart;
    }
}

#endif
