// Bytes of sixteen rows, turned so that each lane has those of a row.
#ifndef INGOT_VECTOR_TURNED_BYTES_H
#define INGOT_VECTOR_TURNED_BYTES_H

#include "../product.h"
#include "lanes.h"

typedef uint32_t four_u32 __attribute__((vector_size(16)));
typedef uint32_t eight_u32 __attribute__((vector_size(32)));

/// Sixteen bytes from each of four rows, four rows apart.
INGOT_INLINE lanes_u32 four_rows(const uint8_t *const rows[PANEL], size_t row, size_t at) {
  four_u32 part[4];
  _Pragma("clang loop unroll(full)") for (size_t i = 0; i < 4; i++)
      memcpy(part + i, rows[row + 4 * i] + at, sizeof *part);
  eight_u32 low = SHUFFLE(part[0], part[1], 0, 1, 2, 3, 4, 5, 6, 7);
  eight_u32 high = SHUFFLE(part[2], part[3], 0, 1, 2, 3, 4, 5, 6, 7);
  return SHUFFLE(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/// Sixteen bytes of each row: lane i of quads[q] has bytes 4q ..< 4q + 4 of row i.
INGOT_INLINE void turn_bytes(const uint8_t *const rows[PANEL], size_t at, lanes_u32 quads[4]) {
  lanes_u32 a = four_rows(rows, 0, at), b = four_rows(rows, 1, at);
  lanes_u32 c = four_rows(rows, 2, at), d = four_rows(rows, 3, at);
  lanes_u32 ab = SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
  lanes_u32 cd = SHUFFLE(c, d, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
  quads[0] = SHUFFLE(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
  quads[1] = SHUFFLE(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  ab = SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  cd = SHUFFLE(c, d, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  quads[2] = SHUFFLE(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
  quads[3] = SHUFFLE(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}

#endif
