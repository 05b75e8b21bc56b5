// Blocks of lattice types taken apart into scales, odd multiples and values, and put together again.
#include "lattice.h"
#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

/// The number of a point; points are sorted.
static unsigned number_of(const lattice_form *f, unsigned point) {
  size_t low = 0, high = f->count;
  while (high - low > 1) {
    size_t middle = (low + high) / 2;
    if (f->points[middle] <= point) low = middle; else high = middle;
  }
  return (unsigned)low;
}

static unsigned entry_of(const lattice_form *f, float level) {
  for (unsigned i = 0; i < f->levels; i++)
    if (f->level[i] == level) return i;
  return 0;
}

/// The number of the point with these values, whose magnitudes are levels; `shift` was added to them.
static unsigned number_of_values(const lattice_form *f, const float *values, float shift) {
  unsigned point = 0;
  for (size_t j = 0; j < f->width; j++) {
    float level = f->signs && values[j] < 0 ? -values[j] : values[j] - shift;
    point |= entry_of(f, level) << f->bits * j;
  }
  return number_of(f, point);
}

static unsigned signs_of(const float *values, size_t count) {
  unsigned signs = 0;
  for (size_t j = 0; j < count; j++) signs |= (unsigned)(float_bits(values[j]) >> 31) << j;
  return signs;
}

static void put_u16(uint8_t *bytes, unsigned value) {
  bytes[0] = (uint8_t)value;
  bytes[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *bytes, uint32_t value) {
  put_u16(bytes, value & 0xFFFF);
  put_u16(bytes + 2, value >> 16);
}

static unsigned stored_multiple(float multiple) { return ((unsigned)multiple - 1) / 2; }

static void write_iq2(const lattice_form *f, const float *multiples, const float *values, uint8_t *out) {
  for (size_t l = 0; l < 32; l++) {
    const float *eight = values + 8 * l;
    unsigned point = number_of_values(f, eight, 0), signs = signs_of(eight, 8);
    unsigned multiple = stored_multiple(multiples[8 * l / f->part]);
    if (f->type == INGOT_IQ2_XXS) {
      uint8_t *points = out + 2 + l / 4 * 8;
      points[l % 4] = (uint8_t)point;
      uint32_t word = l % 4 == 0 ? multiple << 28 : lattice_u32(points + 4);
      put_u32(points + 4, word | (uint32_t)(signs & 127) << 7 * (l % 4));
    } else if (f->type == INGOT_IQ2_XS) {
      put_u16(out + 2 + 2 * l, point | (signs & 127) << 9);
      if (l % 4 == 0) out[66 + l / 4] = 0;
      if (l % 2 == 0) out[66 + l / 4] |= (uint8_t)(multiple << 4 * (l / 2 % 2));
    } else {
      out[2 + l] = (uint8_t)point;
      out[34 + l] = (uint8_t)signs;
      if (l % 4 == 0) out[66 + l / 4] = out[74 + l / 4] = 0;
      out[66 + l / 4] |= (uint8_t)(point >> 8 << 2 * (l % 4));
      if (l % 2 == 0) out[74 + l / 4] |= (uint8_t)(multiple << 4 * (l / 2 % 2));
    }
  }
}

static void write_iq3(const lattice_form *f, const float *multiples, const float *values, uint8_t *out) {
  if (f->type == INGOT_IQ3_S) memset(out + 66, 0, 44);
  for (size_t l = 0; l < 64; l++) {
    unsigned point = number_of_values(f, values + 4 * l, 0);
    unsigned signs = signs_of(values + (l / 2) * 8, 8), multiple = stored_multiple(multiples[l / 8]);
    out[2 + l] = (uint8_t)point;
    if (f->type == INGOT_IQ3_XXS) {
      uint8_t *word = out + 66 + l / 8 * 4;
      uint32_t before = l % 8 == 0 ? multiple << 28 : lattice_u32(word);
      put_u32(word, before | (uint32_t)(signs & 127) << 7 * (l % 8 / 2));
    } else {
      out[66 + l / 8] |= (uint8_t)(point >> 8 << l % 8);
      out[74 + l / 2] = (uint8_t)signs;
      if (l % 8 == 0) out[106 + l / 16] |= (uint8_t)(multiple << 4 * (l / 8 % 2));
    }
  }
}

static void write_iq1(
    const lattice_form *f, uint16_t d, const float *multiples, const float *zeros, const float *values, uint8_t *out) {
  bool small = f->type == INGOT_IQ1_S;
  if (small) put_u16(out, d);
  memset(out + (small ? 34 : 32), 0, small ? 16 : 24);
  for (size_t l = 0; l < 32; l++) {
    const float *eight = values + 8 * l;
    // Entries are whole numbers; what is more or less is the shift of eight weights.
    float shift = small ? 0 : eight[0] - round_even(eight[0]);
    bool down = small ? zeros[l / 4] > 0 : shift < 0;
    unsigned point = number_of_values(f, eight, shift), multiple = stored_multiple(multiples[8 * l / f->part]);
    if (small) {
      uint8_t *high = out + 34 + l / 4 * 2;
      unsigned word = lattice_u16(high) | point >> 8 << 3 * (l % 4) | multiple << 12 | (unsigned)down << 15;
      out[2 + l] = (uint8_t)point;
      put_u16(high, word);
    } else {
      out[l] = (uint8_t)point;
      out[32 + l / 2] |= (uint8_t)((point >> 8 | (unsigned)down << 3) << 4 * (l % 2));
      uint8_t *word = out + 48 + l / 8 * 2;
      put_u16(word, lattice_u16(word) | multiple << 3 * (l / 2 % 4));
    }
  }
  if (small) return;
  for (size_t k = 0; k < 4; k++) put_u16(out + 48 + 2 * k, lattice_u16(out + 48 + 2 * k) | (d >> 4 * k & 15) << 12);
}

void lattice_write(
    int type, uint16_t d, const float *multiples, const float *zeros, const float *values, uint8_t *bytes) {
  lattice_form form = lattice_form_of(type);
  if (!form.signs) return write_iq1(&form, d, multiples, zeros, values, bytes);
  put_u16(bytes, d);
  if (form.width == 8) write_iq2(&form, multiples, values, bytes);
  else write_iq3(&form, multiples, values, bytes);
}

/// The multiple that a part's scale is stored as, and for IQ1_S whether it is shifted down.
static unsigned part_scale(int type, const uint8_t *in, size_t part, bool *down) {
  *down = false;
  switch (type) {
    case INGOT_IQ2_XXS: return lattice_u32(in + 6 + 8 * part) >> 28;
    case INGOT_IQ2_XS: return lattice_nibble(in + 66, part);
    case INGOT_IQ2_S: return lattice_nibble(in + 74, part);
    case INGOT_IQ3_XXS: return lattice_u32(in + 66 + 4 * part) >> 28;
    case INGOT_IQ3_S: return lattice_nibble(in + 106, part);
    case INGOT_IQ1_S: {
      uint16_t high = lattice_u16(in + 34 + 2 * part);
      *down = high >> 15;
      return high >> 12 & 7;
    }
    default: return lattice_u16(in + 48 + part / 4 * 2) >> 3 * (part % 4) & 7;
  }
}

static uint16_t d_of(int type, const uint8_t *in) {
  if (type != INGOT_IQ1_M) return lattice_u16(in);
  unsigned bits = 0;
  for (size_t k = 0; k < 4; k++) bits |= (unsigned)(lattice_u16(in + 48 + 2 * k) >> 12) << 4 * k;
  return (uint16_t)bits;
}

void lattice_take_apart(
    int type, const uint8_t *blocks, size_t rows, size_t columns, size_t stride, float *d, float *multiples,
    float *zeros) {
  lattice_form form = lattice_form_of(type);
  size_t weights, bytes, across = columns / LATTICE_BLOCK, parts = LATTICE_BLOCK / form.part;
  lattice_shape(type, &weights, &bytes);
  for (size_t row = 0; row < rows; row++)
    for (size_t i = 0; i < across; i++) {
      const uint8_t *in = blocks + (row * across + i) * bytes;
      d[i * stride + row] = float_of_f16(d_of(type, in));
      for (size_t j = 0; j < parts; j++) {
        bool down;
        multiples[(i * parts + j) * stride + row] = (float)(2 * part_scale(type, in, j, &down) + 1);
        if (zeros) zeros[(i * parts + j) * stride + row] = down ? 0.125f : -0.125f;
      }
    }
}

void lattice_put_together(
    int type, size_t rows, size_t columns, size_t stride, const float *d, const float *multiples, const float *zeros,
    const float *values, uint8_t *blocks) {
  lattice_form form = lattice_form_of(type);
  size_t weights, bytes, across = columns / LATTICE_BLOCK, parts = LATTICE_BLOCK / form.part;
  lattice_shape(type, &weights, &bytes);
  for (size_t row = 0; row < rows; row++)
    for (size_t i = 0; i < across; i++) {
      float own[LATTICE_MOST_PARTS], shifts[LATTICE_MOST_PARTS], block[LATTICE_BLOCK];
      for (size_t j = 0; j < parts; j++) {
        own[j] = multiples[(i * parts + j) * stride + row];
        shifts[j] = zeros ? zeros[(i * parts + j) * stride + row] : 0;
      }
      for (size_t k = 0; k < LATTICE_BLOCK; k++) block[k] = values[(i * LATTICE_BLOCK + k) * stride + row];
      lattice_write(type, f16_of_float(d[i * stride + row]), own, shifts, block, blocks + (row * across + i) * bytes);
    }
}
