// Tiles of trellis codes: decoding, and what the search in them does in lanes.
#ifndef INGOT_VECTOR_TILES_H
#define INGOT_VECTOR_TILES_H

#include "../tile_search.h"
#include "../tiles.h"
#include "lanes.h"
#include "trellis.h"

#pragma STDC FP_CONTRACT OFF

// ---- decoding --------------------------------------------------------------------------------------------------------

INGOT_INLINE lanes_f32 tile_halves(lanes_u32 bits) {
  lanes_u16 low = __builtin_convertvector(bits, lanes_u16);
  lanes_f16 value;
  memcpy(&value, &low, sizeof value);
  return __builtin_convertvector(value, lanes_f32);
}

/// tile_value lane for lane.
INGOT_INLINE lanes_f32 tile_values(ingot_tile_codebook codebook, const uint16_t *states) {
  lanes_u16 narrow;
  memcpy(&narrow, states, sizeof narrow);
  lanes_u32 x = __builtin_convertvector(narrow, lanes_u32);
  lanes_f32 value;
  if (codebook == INGOT_TILES_MUL1) {
    x = x * 0x83DCD12Du;
    x = (x & 0x00FF00FF) + (x >> 8 & 0x00FF00FF);
    x = ((x + (x >> 16)) & 0xFFFF) + 1024;
    value = __builtin_convertvector((lanes_i32)x, lanes_f32) * splat(0x1.BB8p-8f) - splat(0x1.4C4p+3f);
  } else {
    x = codebook == INGOT_TILES_MCG ? x * 0xCBAC1FEDu : x * 89226354u + 64248484u;
    x = (x & 0x8FFF8FFF) ^ 0x3B603B60;
    value = tile_halves(x) + tile_halves(x >> 16);
  }
  return __builtin_convertvector(__builtin_convertvector(value, lanes_f16), lanes_f32);
}

/// The transform along inputs, which are rows of a block.
INGOT_INLINE void tile_hadamard_inputs(float *block) {
  for (size_t apart = 1; apart < TILE_BLOCK; apart *= 2) {
    for (size_t i = 0; i < TILE_BLOCK; i++) {
      if (i & apart) continue;
      float *low = block + i * TILE_BLOCK, *high = low + apart * TILE_BLOCK;
      for (size_t j = 0; j < TILE_BLOCK; j += 16) {
        lanes_f32 a = load_lanes(low + j), b = load_lanes(high + j);
        store_lanes(low + j, a + b);
        store_lanes(high + j, a - b);
      }
    }
  }
}

/// Sums and differences of lanes: `other` has every lane's partner, `minus` is set in the second of each pair.
INGOT_INLINE lanes_f32 tile_pairs(lanes_f32 own, lanes_f32 other, lanes_i32 minus) {
  return choose(minus, other - own, own + other);
}

/// The transform along outputs, which are neighbours in a row of a block.
INGOT_INLINE void tile_hadamard_outputs(float *block) {
  const lanes_i32 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  for (size_t i = 0; i < TILE_BLOCK; i++) {
    float *row = block + i * TILE_BLOCK;
    lanes_f32 x[8];
#pragma clang loop unroll(full)
    for (size_t j = 0; j < 8; j++) {
      lanes_f32 v = load_lanes(row + 16 * j);
      v = tile_pairs(v, SHUFFLE(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14), (lane & 1) != 0);
      v = tile_pairs(v, SHUFFLE(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13), (lane & 2) != 0);
      v = tile_pairs(v, SHUFFLE(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11), (lane & 4) != 0);
      x[j] = tile_pairs(v, SHUFFLE(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7), (lane & 8) != 0);
    }
#pragma clang loop unroll(full)
    for (size_t apart = 1; apart < 8; apart *= 2) {
#pragma clang loop unroll(full)
      for (size_t j = 0; j < 8; j++) {
        if (j & apart) continue;
        lanes_f32 a = x[j], b = x[j + apart];
        x[j] = a + b;
        x[j + apart] = a - b;
      }
    }
#pragma clang loop unroll(full)
    for (size_t j = 0; j < 8; j++) store_lanes(row + 16 * j, x[j]);
  }
}

void BODY(ingot_decode_tiles)(
    const ingot_tiles *t, const void *codes, size_t rows, size_t columns, const float *input_scales,
    const float *output_scales, float *out, float *block) {
  size_t across = tile_padded(rows) / TILE;
  for (size_t row = 0; row < rows; row += TILE_BLOCK) {
    size_t some_rows = rows - row < TILE_BLOCK ? rows - row : TILE_BLOCK;
    for (size_t column = 0; column < columns; column += TILE_BLOCK) {
      size_t some = columns - column < TILE_BLOCK ? columns - column : TILE_BLOCK;
      for (size_t tile = 0; tile < 64; tile++) {
        size_t input = tile / 8 * TILE, output = tile % 8 * TILE;
        uint16_t states[TILE_WEIGHTS];
        float values[TILE_WEIGHTS];
        size_t place = (column + input) / TILE * across + (row + output) / TILE;
        tile_states(t, (const char *)codes + place * tile_bytes(t), states);
        for (size_t i = 0; i < TILE_WEIGHTS; i += 16) store_lanes(values + i, tile_values(t->codebook, states + i));
        float *corner = block + input * TILE_BLOCK + output;
        for (unsigned i = 0; i < TILE_WEIGHTS; i++) corner[tile_input(i) * TILE_BLOCK + tile_output(i)] = values[i];
      }
      tile_hadamard_inputs(block);
      tile_hadamard_outputs(block);
      for (size_t r = 0; r < some_rows; r += 16) {
        size_t lines = some_rows - r < 16 ? some_rows - r : 16;
        for (size_t c = 0; c < some; c += 16) {
          size_t width = some - c < 16 ? some - c : 16;
          lanes_f32 x[16];
          for (size_t i = 0; i < 16; i++) {
            // Scales behind the last column are there, since they are padded too.
            lanes_f32 v = load_lanes(block + (c + i) * TILE_BLOCK + r) * splat(0x1p-7f);
            x[i] = v * splat(input_scales[column + c + i]) * load_lanes(output_scales + row + r);
          }
          transpose_lanes(x);
          for (size_t i = 0; i < lines; i++)
            memcpy(out + (row + r + i) * columns + column + c, &x[i], width * sizeof(float));
        }
      }
    }
  }
}

// ---- the search --------------------------------------------------------------------------------------------------------

/// tile_cost lane for lane.
INGOT_INLINE many_u16 tile_costs(many_i16 target, many_i16 values, unsigned gain) {
  many_i16 d = __builtin_elementwise_sub_sat(target, values);
  for (unsigned i = 0; i < gain; i++) d = __builtin_elementwise_add_sat(d, d);
  return costs_of(d, (many_i16){0});
}

/// One step of all paths; see ingot_tile_forward_scalar.
INGOT_INLINE void tile_step_lanes(
    unsigned bits, const int16_t *book, int16_t target, const uint16_t *least, uint16_t *out) {
  size_t ends = tile_ends(bits);
  many_i16 wanted = splat_target(target);
  for (size_t j = 0; j < ends; j += 32) {
    many_u16 best = ~(many_u16){0};
    for (size_t state = j; state < 65536; state += ends) {
      const uint16_t *before = least + (state >> bits);
      many_u16 cost = tile_costs(wanted, (many_i16)load_costs(book + state), tile_gain(bits));
      cost = __builtin_elementwise_add_sat(
          cost, bits < 5 ? spread_out(before, bits) : (many_u16)splat_target((int16_t)*before));
      best = __builtin_elementwise_min(best, cost);
    }
    memcpy(out + j, &best, sizeof best);
  }
}

void BODY(ingot_tile_forward)(
    unsigned bits, const int16_t *book, const int16_t *targets, size_t first, size_t count, uint16_t *least) {
  size_t ends = tile_ends(bits);
  for (size_t i = 0; i < count; i++, least += ends) {
    int16_t target = targets[(first + i) % TILE_WEIGHTS];
    uint16_t *out = least + ends;
    switch (bits) {
#define STEP(bits) \
  case bits: tile_step_lanes(bits, book, target, least, out); break;
      STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8)
#undef STEP
    }
    if (i % TRELLIS_RUN < TRELLIS_RUN - 1) continue;
    many_u16 lowest = load_costs(out);
    for (size_t j = 32; j < ends; j += 32) lowest = __builtin_elementwise_min(lowest, load_costs(out + j));
    uint16_t base = 65535;
    for (size_t lane = 0; lane < 32; lane++) base = lowest[lane] < base ? lowest[lane] : base;
    for (size_t j = 0; j < ends; j += 32) {
      many_u16 x = load_costs(out + j) - base;
      memcpy(out + j, &x, sizeof x);
    }
  }
}

#endif
