// Rows that are asked for ahead of their products.
#ifndef INGOT_VECTOR_FETCHED_H
#define INGOT_VECTOR_FETCHED_H

#include "../coded.h"

/// What comes after the rows at hand. It is fetched little by little, in the order in which it lies: memory takes so many requests at a time and
/// no more, and gives most where they follow each other.
typedef struct {
  // Codes, scales and biases.
  const uint8_t *next[3];
  size_t each[3];  // bytes for a block of columns
} coded_fetch;

/// The share that goes with columns from `first` on of `panels` panels from `row` on: of the panels that follow them.
INGOT_INLINE coded_fetch fetch_behind(const ingot_coded *c, size_t row, size_t panels, size_t first) {
  size_t width = c->type != INGOT_PLANES ? 0 : coded_groups(c) * (c->storage == INGOT_F32 ? 4 : 2);
  const uint8_t *from[3] = {c->codes, c->scales, c->biases};
  size_t bytes[3] = {coded_row_bytes(c), width, c->biases ? width : 0};
  coded_fetch fetch;
  for (size_t i = 0; i < 3; i++) {
    fetch.next[i] = from[i] + bytes[i] * (row + panels * PANEL) + bytes[i] * panels * PANEL * first / c->columns;
    fetch.each[i] = bytes[i] * panels * PANEL * CODE_BLOCK / c->columns;
  }
  return fetch;
}

INGOT_INLINE void fetch_some(coded_fetch *fetch) {
  for (size_t i = 0; i < 3; i++) {
    for (size_t line = 0; line < fetch->each[i]; line += 64) __builtin_prefetch(fetch->next[i] + line, 0, 3);
    fetch->next[i] += fetch->each[i];
  }
}

#endif
