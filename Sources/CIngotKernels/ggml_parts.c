// GGML blocks taken apart into scales, multiples and values of codes, and put together again.
#include "ggml.h"
#include "lattice.h"

#pragma STDC FP_CONTRACT OFF

/// E2M1's values doubled, in rising order.
static const int8_t rising_e2m1[15] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};

ingot_ggml_grid ingot_ggml_grid_of(ingot_ggml type) {
  if (lattice_is_made((int)type)) {
    lattice_form form = lattice_form_of((int)type);
    return (ingot_ggml_grid){form.part, LATTICE_BLOCK, -16, 16, NULL, 0, false, false, 1, form.most, 0, true,
                             form.shifted == form.part};
  }
  ggml_shape shape = ggml_shape_of(type);
  ingot_ggml_grid grid = {shape.part, shape.weights, (float)-shape.zero, (float)(shape.most - shape.zero), NULL, 0,
                          false, false, 0, 0, 0, false, false};
  switch (type) {
    case INGOT_Q4_1:
    case INGOT_Q5_1: grid.has_minima = true; break;
    case INGOT_Q2_K: grid.has_minima = true, grid.most = 15, grid.minima_least = -15; break;
    case INGOT_Q4_K:
    case INGOT_Q5_K: grid.has_minima = true, grid.most = 63, grid.minima_least = -63; break;
    case INGOT_Q3_K: grid.least = -32, grid.most = 31; break;
    case INGOT_Q6_K: grid.least = -128, grid.most = 127; break;
    case INGOT_IQ4_XS: grid.least = -32, grid.most = 31; // fall through
    case INGOT_IQ4_NL: grid.table = ggml_curve, grid.entries = 16; break;
    case INGOT_MXFP4: grid.table = rising_e2m1, grid.entries = 15, grid.fixed = true; break;
    default: break;
  }
  return grid;
}

void ingot_ggml_take_apart(
    ingot_ggml type, const uint8_t *blocks, size_t rows, size_t columns, size_t stride, float *d, float *m,
    float *scales, float *minima, float *zeros) {
  if (lattice_is_made((int)type)) return lattice_take_apart((int)type, blocks, rows, columns, stride, d, scales, zeros);
  ggml_shape shape = ggml_shape_of(type);
  size_t across = columns / shape.weights, parts = shape.weights / shape.part;
  for (size_t row = 0; row < rows; row++)
    for (size_t i = 0; i < across; i++) {
      ggml_block block = {0};
      ggml_read(type, blocks + (row * across + i) * shape.bytes, &block);
      d[i * stride + row] = ggml_scale(type, &block);
      if (m) m[i * stride + row] = ggml_minimum(&block);
      for (size_t j = 0; j < parts; j++) {
        if (scales) scales[(i * parts + j) * stride + row] = block.scales[j];
        if (minima) minima[(i * parts + j) * stride + row] = (float)-block.minima[j];
      }
    }
}

static uint8_t code_for(ingot_ggml type, const ggml_shape *shape, float value) {
  if (!shape->table) return (uint8_t)((int)value + shape->zero);
  int wanted = (int)value;
  for (uint8_t code = 0; code < 16; code++)
    if (shape->table[code] == wanted) return code;
  return type == INGOT_MXFP4 ? 0 : 8;
}

static uint16_t exponent_of_half(float half) {
  uint32_t bits = float_bits(half);
  return (uint16_t)(bits < 0x00800000 ? bits > 0x00200000 : (bits >> 23) + 1);
}

void ingot_ggml_put_together(
    ingot_ggml type, size_t rows, size_t columns, size_t stride, const float *d, const float *m,
    const float *scales, const float *minima, const float *zeros, const float *values, uint8_t *blocks) {
  if (lattice_is_made((int)type))
    return lattice_put_together((int)type, rows, columns, stride, d, scales, zeros, values, blocks);
  ggml_shape shape = ggml_shape_of(type);
  size_t across = columns / shape.weights, parts = shape.weights / shape.part;
  for (size_t row = 0; row < rows; row++)
    for (size_t i = 0; i < across; i++) {
      ggml_block block = {0};
      float scale = d[i * stride + row];
      block.d = type == INGOT_MXFP4 ? exponent_of_half(scale) : f16_of_float(scale);
      if (m) block.m = f16_of_float(m[i * stride + row]);
      for (size_t j = 0; j < parts; j++) {
        block.scales[j] = scales ? (int16_t)scales[(i * parts + j) * stride + row] : 1;
        block.minima[j] = minima ? (int8_t)-minima[(i * parts + j) * stride + row] : 0;
      }
      for (size_t k = 0; k < shape.weights; k++)
        block.codes[k] = code_for(type, &shape, values[(i * shape.weights + k) * stride + row]);
      ggml_write(type, &block, blocks + (row * across + i) * shape.bytes);
    }
}
