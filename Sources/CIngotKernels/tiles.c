// Tiles of trellis codes: decoding, and how tiles are coded.
#include "tiles.h"

#include "quantize.h"
#include "tile_search.h"

#pragma STDC FP_CONTRACT OFF

bool ingot_tiles_are_valid(const ingot_tiles *t) { return t->bits >= 1 && t->bits <= 8; }

/// Sums and differences of all pairs `apart` along one extent of a block, for every distance: a Hadamard transform but for its
/// factor.
static void tile_hadamard(float *block, size_t stride, size_t other) {
  for (size_t apart = 1; apart < TILE_BLOCK; apart *= 2) {
    for (size_t i = 0; i < TILE_BLOCK; i++) {
      if (i & apart) continue;
      for (size_t j = 0; j < TILE_BLOCK; j++) {
        float *low = block + i * stride + j * other, *high = low + apart * stride;
        float a = *low, b = *high;
        *low = a + b;
        *high = a - b;
      }
    }
  }
}

void ingot_decode_tiles_scalar(
    const ingot_tiles *t, const void *codes, size_t rows, size_t columns, const float *input_scales,
    const float *output_scales, float *out, float *block) {
  size_t across = tile_padded(rows) / TILE;
  for (size_t row = 0; row < rows; row += TILE_BLOCK) {
    for (size_t column = 0; column < columns; column += TILE_BLOCK) {
      for (size_t tile = 0; tile < 64; tile++) {
        size_t input = tile / 8 * TILE, output = tile % 8 * TILE;
        uint16_t states[TILE_WEIGHTS];
        size_t place = (column + input) / TILE * across + (row + output) / TILE;
        tile_states(t, (const char *)codes + place * tile_bytes(t), states);
        for (unsigned i = 0; i < TILE_WEIGHTS; i++)
          block[(input + tile_input(i)) * TILE_BLOCK + output + tile_output(i)] = tile_value(t->codebook, states[i]);
      }
      tile_hadamard(block, TILE_BLOCK, 1);
      tile_hadamard(block, 1, TILE_BLOCK);
      for (size_t r = row; r < row + TILE_BLOCK && r < rows; r++) {
        for (size_t c = column; c < column + TILE_BLOCK && c < columns; c++) {
          float value = block[(c - column) * TILE_BLOCK + r - row] * 0x1p-7f * input_scales[c];
          out[r * columns + c] = value * output_scales[r];
        }
      }
    }
  }
}

size_t ingot_decode_tiles_scratch(void) { return TILE_BLOCK * TILE_BLOCK * sizeof(float); }

void ingot_decode_tiles(
    ingot_isa isa, const ingot_tiles *t, const void *codes, size_t rows, size_t columns, const float *input_scales,
    const float *output_scales, float *out, float *scratch) {
  INGOT_DISPATCH(isa, ingot_decode_tiles, t, codes, rows, columns, input_scales, output_scales, out, scratch);
}

// ---- encoding --------------------------------------------------------------------------------------------------------

void ingot_tiles_transform(float *matrix, size_t inputs, size_t outputs, bool along_inputs) {
  const float factor = 0x1.6A09E6p-4f;  // 1 / √128
  if (!along_inputs) {
    for (size_t i = 0; i < inputs * outputs; i += TILE_BLOCK) {
      float *run = matrix + i;
      for (size_t apart = 1; apart < TILE_BLOCK; apart *= 2) {
        for (size_t first = 0; first < TILE_BLOCK; first += 2 * apart) {
          for (size_t j = first; j < first + apart; j++) {
            float a = run[j], b = run[j + apart];
            run[j] = a + b;
            run[j + apart] = a - b;
          }
        }
      }
      for (size_t j = 0; j < TILE_BLOCK; j++) run[j] *= factor;
    }
    return;
  }
  for (size_t top = 0; top < inputs; top += TILE_BLOCK) {
    // As many outputs at a time as stay in the caches.
    for (size_t left = 0; left < outputs; left += TILE_BLOCK) {
      for (size_t apart = 1; apart < TILE_BLOCK; apart *= 2) {
        for (size_t i = 0; i < TILE_BLOCK; i++) {
          if (i & apart) continue;
          float *low = matrix + (top + i) * outputs + left, *high = low + apart * outputs;
          for (size_t j = 0; j < TILE_BLOCK; j++) {
            float a = low[j], b = high[j];
            low[j] = a + b;
            high[j] = a - b;
          }
        }
      }
      for (size_t i = 0; i < TILE_BLOCK; i++) {
        for (size_t j = 0; j < TILE_BLOCK; j++) matrix[(top + i) * outputs + left + j] *= factor;
      }
    }
  }
}

void ingot_tiles_book(ingot_tile_codebook codebook, int16_t *book) {
  for (uint32_t state = 0; state < 65536; state++)
    book[state] = (int16_t)round_even(clamp(tile_value(codebook, state) * INGOT_TILES_UNIT, -32767, 32767));
}

size_t ingot_tiles_scratch(const ingot_tiles *t) {
  size_t steps = 2 * tile_reach(t->bits) > TILE_WEIGHTS ? 2 * tile_reach(t->bits) : TILE_WEIGHTS;
  return (steps + 1) * tile_ends(t->bits) * sizeof(uint16_t);
}

void ingot_tile_forward_scalar(
    unsigned bits, const int16_t *book, const int16_t *targets, size_t first, size_t count, uint16_t *least) {
  size_t ends = tile_ends(bits);
  for (size_t i = 0; i < count; i++, least += ends) {
    int16_t target = targets[(first + i) % TILE_WEIGHTS];
    for (size_t end = 0; end < ends; end++) {
      uint16_t best = 65535;
      for (size_t state = end; state < 65536; state += ends) {
        uint16_t cost = trellis_sum(least[state >> bits], tile_cost(target, book[state], tile_gain(bits)));
        best = cost < best ? cost : best;
      }
      least[ends + end] = best;
    }
    if (i % TRELLIS_RUN == TRELLIS_RUN - 1) trellis_normalize(least + ends, ends);
  }
}

static void tile_forward(
    ingot_isa isa, unsigned bits, const int16_t *book, const int16_t *targets, size_t first, size_t count,
    uint16_t *least) {
  INGOT_DISPATCH(isa, ingot_tile_forward, bits, book, targets, first, count, least);
}

/// The states of the cheapest path that ends in `end`; gives the bits before its first weight.
static uint32_t tile_back(
    unsigned bits, const int16_t *book, const int16_t *targets, size_t count, const uint16_t *least, uint32_t end,
    uint16_t *states) {
  size_t ends = tile_ends(bits);
  for (size_t i = count; i-- > 0;) {
    uint32_t best = ~0u, found = 0;
    for (uint32_t state = end; state < 65536; state += (uint32_t)ends) {
      uint32_t cost = trellis_sum(least[i * ends + (state >> bits)], tile_cost(targets[i], book[state], tile_gain(bits)));
      if (cost >= best) continue;
      best = cost;
      found = state;
    }
    if (states) states[i] = (uint16_t)found;
    end = found >> bits;
  }
  return end;
}

static void tile_path(
    ingot_isa isa, const ingot_tiles *t, const int16_t *book, const int16_t *targets, uint16_t *states,
    uint16_t *least) {
  unsigned bits = t->bits;
  size_t ends = tile_ends(bits), reach = tile_reach(bits);
  memset(least, 0, ends * sizeof *least);
  tile_forward(isa, bits, book, targets, TILE_WEIGHTS - reach, 2 * reach, least);
  const uint16_t *last = least + 2 * reach * ends;
  uint32_t end = 0;
  for (uint32_t i = 1; i < ends; i++) end = last[i] < last[end] ? i : end;
  uint32_t border = tile_back(bits, book, targets, reach, least + reach * ends, end, NULL);
  memset(least, 0xFF, ends * sizeof *least);
  least[border] = 0;
  tile_forward(isa, bits, book, targets, 0, TILE_WEIGHTS, least);
  tile_back(bits, book, targets, TILE_WEIGHTS, least, border, states);
}

/// The words of a ring's states: the last bits of each, from the most significant bit on.
static void tile_pack(const ingot_tiles *t, const uint16_t *states, void *codes) {
  uint64_t held = 0;
  unsigned filled = 0;
  char *out = codes;
  for (size_t i = 0; i < TILE_WEIGHTS; i++) {
    held = held << t->bits | (states[i] & ((1u << t->bits) - 1));
    filled += t->bits;
    if (filled < 32) continue;
    filled -= 32;
    uint32_t word = (uint32_t)(held >> filled);
    memcpy(out, &word, 4);
    out += 4;
  }
}

void ingot_tiles_strip(
    ingot_isa isa, const ingot_tiles *t, const int16_t *book, const float *weights, size_t outputs, float *values,
    void *codes, void *scratch) {
  for (size_t output = 0; output < outputs; output += TILE) {
    int16_t targets[TILE_WEIGHTS];
    uint16_t states[TILE_WEIGHTS];
    for (unsigned i = 0; i < TILE_WEIGHTS; i++) {
      float x = weights[tile_input(i) * outputs + output + tile_output(i)] * INGOT_TILES_UNIT;
      targets[i] = (int16_t)round_even(clamp(x, -32767, 32767));
    }
    tile_path(isa, t, book, targets, states, scratch);
    tile_pack(t, states, (char *)codes + output / TILE * tile_bytes(t));
    for (unsigned i = 0; i < TILE_WEIGHTS; i++)
      values[tile_input(i) * outputs + output + tile_output(i)] = tile_value(t->codebook, states[i]);
  }
}
