// Elementwise steps of the forward pass.
#include <math.h>

#include "isa.h"

#pragma STDC FP_CONTRACT OFF

/// Sum of 16 lanes as a tree, so that the order does not depend on the vector width.
static double tree(double lanes[16]) {
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; i++) lanes[i] += lanes[i + step];
  return lanes[0];
}

double ingot_dot(const float *a, const float *b, size_t count) {
  double lanes[16] = {0};
  size_t j = 0;
  for (; j + 16 <= count; j += 16)
    for (size_t i = 0; i < 16; i++) lanes[i] += (double)a[j + i] * (double)b[j + i];
  for (; j < count; j++) lanes[j % 16] += (double)a[j] * (double)b[j];
  return tree(lanes);
}

void ingot_rms_norm(const float *x, const float *weight, float eps, float *out, size_t count) {
  if (count == 0) return;
  double mean = ingot_dot(x, x, count) / (double)count;
  float factor = (float)(1 / sqrt(mean + (double)eps));
  for (size_t j = 0; j < count; j++) out[j] = x[j] * factor * weight[j];
}

void ingot_silu_multiply(float *gate, const float *up, size_t count) {
  for (size_t j = 0; j < count; j++) gate[j] = gate[j] / (1 + expf(-gate[j])) * up[j];
}

void ingot_delta_rule(
    float *restrict state, const float *q, const float *k, const float *v, float decay, float beta, float *restrict out,
    float *restrict scratch, size_t keys, size_t values) {
  for (size_t j = 0; j < values; j++) scratch[j] = out[j] = 0;
  for (size_t i = 0; i < keys; i++) {
    float *row = state + i * values;
    for (size_t j = 0; j < values; j++) {
      row[j] *= decay;
      scratch[j] += k[i] * row[j];
    }
  }
  for (size_t j = 0; j < values; j++) scratch[j] = beta * (v[j] - scratch[j]);
  for (size_t i = 0; i < keys; i++) {
    float *row = state + i * values;
    for (size_t j = 0; j < values; j++) {
      row[j] += k[i] * scratch[j];
      out[j] += q[i] * row[j];
    }
  }
}

void ingot_linear_attention(
    float *restrict state, const float *q, const float *k, const float *v, float decay, float *restrict out, size_t keys,
    size_t values) {
  for (size_t j = 0; j < values; j++) out[j] = 0;
  for (size_t i = 0; i < keys; i++) {
    float *row = state + i * values;
    for (size_t j = 0; j < values; j++) {
      row[j] = decay * row[j] + k[i] * v[j];
      out[j] += q[i] * row[j];
    }
  }
}

void ingot_softmax(float *row, size_t count) {
  float highest = -INFINITY;
  for (size_t j = 0; j < count; j++) highest = row[j] > highest ? row[j] : highest;
  double lanes[16] = {0};
  for (size_t j = 0; j < count; j++) {
    row[j] = expf(row[j] - highest);
    lanes[j % 16] += (double)row[j];
  }
  float factor = (float)(1 / tree(lanes));
  for (size_t j = 0; j < count; j++) row[j] *= factor;
}

void ingot_add_scaled(float *y, const float *x, float s, size_t count) {
  for (size_t j = 0; j < count; j++) y[j] += s * x[j];
}
