// Transposing a matrix of 1-, 2-, 4- or 8-byte elements, in square tiles that stay in the first cache.
#include <stdint.h>
#include <string.h>

#include "ckernels.h"

enum { TILE = 32 };

// The caller's bytes need no alignment, hence memcpy of one element at a time: compilers make it one move.
#define TRANSPOSE(type)                                                                                      \
  for (size_t top = 0; top < rows; top += TILE)                                                              \
    for (size_t left = 0; left < columns; left += TILE) {                                                    \
      size_t bottom = top + TILE < rows ? top + TILE : rows;                                                 \
      size_t right = left + TILE < columns ? left + TILE : columns;                                          \
      for (size_t column = left; column < right; column++)                                                   \
        for (size_t row = top; row < bottom; row++)                                                          \
          memcpy(out + (column * rows + row) * sizeof(type), in + (row * columns + column) * sizeof(type),   \
              sizeof(type));                                                                                 \
    }

void ingot_transpose(uint32_t width, const void *source, void *target, size_t rows, size_t columns) {
  const uint8_t *restrict in = source;
  uint8_t *restrict out = target;
  switch (width) {
    case 1: TRANSPOSE(uint8_t) break;
    case 2: TRANSPOSE(uint16_t) break;
    case 4: TRANSPOSE(uint32_t) break;
    default: TRANSPOSE(uint64_t) break;
  }
}
