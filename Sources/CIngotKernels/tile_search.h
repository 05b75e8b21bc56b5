// The search for the path around the ring of a tile: Viterbi's, over all states.
//
// What it keeps of a weight is, for every end that the bits before it may have, what the cheapest path to it costs, in 16 bits and
// next to the least; the way back computes again which path that was. The bits where the ring closes are first found by paths
// without bounds over some weights around that place. It is the search of trellis.c, for whole bits up to 8.
#ifndef INGOT_TILE_SEARCH_H
#define INGOT_TILE_SEARCH_H

#include "tiles.h"
#include "trellis.h"

/// Ends that the bits before a weight may have.
INGOT_INLINE size_t tile_ends(unsigned bits) { return (size_t)65536 >> bits; }
/// Weights on either side of where the ring closes that decide on the bits there.
INGOT_INLINE size_t tile_reach(unsigned bits) { return 96 / bits; }
/// By how many bits differences are enlarged, so that small errors have costs.
INGOT_INLINE unsigned tile_gain(unsigned bits) { return bits > 4 ? bits - 4 : 0; }

/// The cost of a value: a rounded square in 16 bits.
INGOT_INLINE uint16_t tile_cost(int16_t target, int16_t value, unsigned gain) {
  int d = target - value;
  for (unsigned i = 0; i <= gain; i++) {
    if (i) d = d * 2;
    d = d > 32767 ? 32767 : d < -32768 ? -32768 : d;
  }
  return (uint16_t)((d * d + (1 << 14)) >> 15);
}

#endif
