// Round to nearest into GGML blocks: scalar reference, and the choice between it and the search.
#include "ggml_nearest.h"
#include "ggml_lattice.h"

#pragma STDC FP_CONTRACT OFF

/// To the nearest integer, halves away from 0; |value| below 2^31.
static float round_away(float value) {
  float whole = (float)(int)value, rest = value - whole;
  if (rest >= 0.5f) return whole + 1;
  if (rest <= -0.5f) return whole - 1;
  return whole;
}

static int nearest_code(ingot_ggml type, const ggml_rounding *r, float weight, int most) {
  // Nothing but non-finite weights leaves this range by more than one.
  float scaled = (weight - r->base) * r->inverse;
  scaled = scaled > -256 ? scaled : -256;
  scaled = scaled < 256 ? scaled : 256;
  int code = type == INGOT_Q8_0 ? (int)round_away(scaled) + 128 : (int)(scaled + r->offset);
  return code < 0 ? 0 : code > most ? most : code;
}

void ingot_ggml_nearest_scalar(const ingot_ggml_job *job) {
  ggml_shape shape = ggml_shape_of(job->type);
  size_t blocks = job->rows * (job->columns / shape.weights);
  for (size_t i = 0; i < blocks; i++) {
    const float *w = job->weights + i * shape.weights;
    float extreme = 0, low = w[0], high = w[0];
    for (size_t j = 0; j < shape.weights; j++) {
      float magnitude = w[j] < 0 ? -w[j] : w[j];
      if (magnitude > (extreme < 0 ? -extreme : extreme)) extreme = w[j];
      low = w[j] < low ? w[j] : low;
      high = w[j] > high ? w[j] : high;
    }
    ggml_block block = {0};
    if (job->type == INGOT_MXFP4) {
      block.d = (uint16_t)e8m0_of_greatest(extreme < 0 ? -extreme : extreme);
      float half = half_of_e8m0(block.d);
      for (size_t j = 0; j < shape.weights; j++) block.codes[j] = e2m1_nearest(w[j], half);
    } else {
      ggml_rounding r = ggml_rounding_for(job->type, extreme, low, high);
      block.d = r.d;
      block.m = r.m;
      for (size_t j = 0; j < shape.weights; j++)
        block.codes[j] = (uint8_t)nearest_code(job->type, &r, w[j], shape.most);
    }
    ggml_write(job->type, &block, job->blocks + i * shape.bytes);
  }
}

/// Takes the rounded block wherever the search found nothing better.
static void keep_better(ingot_isa isa, const ingot_ggml_job *job) {
  enum { CHUNK = 64 };
  ggml_shape shape = ggml_shape_of(job->type);
  size_t blocks = job->rows * (job->columns / shape.weights);
  uint8_t nearest[CHUNK * 34];
  float rounded[CHUNK * 32], searched[CHUNK * 32];
  for (size_t first = 0; first < blocks; first += CHUNK) {
    size_t count = blocks - first < CHUNK ? blocks - first : CHUNK;
    uint8_t *found = job->blocks + first * shape.bytes;
    ingot_ggml_job part = *job;
    part.weights = job->weights + first * shape.weights;
    part.rows = 1;
    part.columns = count * shape.weights;
    part.blocks = nearest;
    INGOT_DISPATCH(isa, ingot_ggml_nearest, &part);
    ingot_decode_ggml(isa, job->type, nearest, rounded, count);
    ingot_decode_ggml(isa, job->type, found, searched, count);
    for (size_t i = 0; i < count; i++) {
      size_t at = i * shape.weights;
      const float *h = job->importance ? job->importance + (first + i) * shape.weights % job->columns : NULL;
      double error = ingot_squared_error(isa, part.weights + at, searched + at, h, shape.weights);
      if (error < ingot_squared_error(isa, part.weights + at, rounded + at, h, shape.weights)) continue;
      memcpy(found + i * shape.bytes, nearest + i * shape.bytes, shape.bytes);
    }
  }
}

void ingot_quantize_ggml(ingot_isa isa, const ingot_ggml_job *job) {
  if (lattice_is((int)job->type)) {
    INGOT_DISPATCH(isa, ingot_lattice_search, job);
    return;
  }
  if (!job->search) {
    INGOT_DISPATCH(isa, ingot_ggml_nearest, job);
    return;
  }
  INGOT_DISPATCH(isa, ingot_ggml_search, job);
  if (ggml_rounds(job->type)) keep_better(isa, job);
}
