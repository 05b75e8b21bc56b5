// Tiles of trellis codes, as EXL3 stores linear layers: what the scalar and the vector bodies share.
//
// A matrix (inputs, outputs), both multiples of 128, is cut into tiles of 16 inputs and 16 outputs. The 256 weights of a tile
// have `bits` bits each, in a ring of 32-bit words that are read from the most significant bit on. Weight t's state is the 16
// bits that end behind its own, around the ring; its value follows from the state alone.
#ifndef INGOT_TILES_H
#define INGOT_TILES_H

#include "floats.h"
#include "isa.h"

#pragma STDC FP_CONTRACT OFF

enum { TILE = 16, TILE_WEIGHTS = 256, TILE_BLOCK = 128, TILE_WINDOW = 16 };

INGOT_INLINE size_t tile_bytes(const ingot_tiles *t) { return (size_t)t->bits * TILE_WEIGHTS / 8; }
/// An extent with what it is padded by.
INGOT_INLINE size_t tile_padded(size_t extent) { return (extent + TILE_BLOCK - 1) / TILE_BLOCK * TILE_BLOCK; }

/// The place of weight t in a tile: the input, and the output.
INGOT_INLINE unsigned tile_input(unsigned t) { return t / 8 % 4 * 2 + (t & 1) + (t & 2) * 4; }
INGOT_INLINE unsigned tile_output(unsigned t) { return t / 32 + (t & 4) * 2; }

/// The value of a state, an F16. What precedes the rounding to F16 is exact in F32.
INGOT_INLINE float tile_value(ingot_tile_codebook codebook, uint32_t state) {
  if (codebook == INGOT_TILES_MUL1) {
    uint32_t x = state * 0x83DCD12Du;
    x = (x & 0x00FF00FF) + (x >> 8 & 0x00FF00FF);
    uint32_t sum = (x + (x >> 16)) & 0xFFFF;
    // F16 0x1EEE and 0xC931.
    return float_of_f16(f16_of_float((float)(1024 + sum) * 0x1.BB8p-8f - 0x1.4C4p+3f));
  }
  uint32_t x = codebook == INGOT_TILES_MCG ? state * 0xCBAC1FEDu : state * 89226354u + 64248484u;
  x = (x & 0x8FFF8FFF) ^ 0x3B603B60;
  return float_of_f16(f16_of_float(float_of_f16((uint16_t)x) + float_of_f16((uint16_t)(x >> 16))));
}

/// The states of a tile's weights.
INGOT_INLINE void tile_states(const ingot_tiles *t, const void *codes, uint16_t *states) {
  uint32_t words[64];
  memcpy(words, codes, tile_bytes(t));
  size_t count = 8 * t->bits;
  uint64_t held = words[count - 1];
  unsigned unread = 0;
  size_t next = 0;
  for (size_t i = 0; i < TILE_WEIGHTS; i++) {
    if (unread < t->bits) {
      held = held << 32 | words[next++];
      unread += 32;
    }
    unread -= t->bits;
    states[i] = (uint16_t)(held >> unread);
  }
}

#endif
