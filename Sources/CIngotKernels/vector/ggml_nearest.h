// Round to nearest into GGML blocks of 32 weights, two vectors a block.
#ifndef INGOT_VECTOR_GGML_NEAREST_H
#define INGOT_VECTOR_GGML_NEAREST_H

#include "../ggml_nearest.h"
#include "lanes.h"

/// The first of 32 weights for which a mask is set; 0 when there is none.
INGOT_INLINE float first_where(lanes_i32 in_a, lanes_i32 in_b, lanes_f32 a, lanes_f32 b) {
  const lanes_i32 order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  lanes_i32 place = (in_a & order) | (~in_a & ((in_b & (order + 16)) | (~in_b & 32)));
  int first = __builtin_reduce_min(place);
  return first < 16 ? a[first] : first < 32 ? b[first - 16] : 0;
}

/// The first of 32 weights of largest magnitude.
INGOT_INLINE float first_extreme(lanes_f32 a, lanes_f32 b) {
  float greatest = -lowest(-higher(magnitudes(b), magnitudes(a)));
  return greatest > 0 ? first_where(magnitudes(a) == greatest, magnitudes(b) == greatest, a, b) : 0;
}

/// The first of the weights equal to `extreme`, which matters where that is 0: it may be -0.
INGOT_INLINE float first_equal(lanes_f32 a, lanes_f32 b, float extreme) {
  return extreme == 0 ? first_where(a == extreme, b == extreme, a, b) : extreme;
}

INGOT_INLINE void nearest_codes(
    ingot_ggml type, const ggml_rounding *r, int most, lanes_f32 w, uint8_t *out) {
  lanes_f32 scaled = clamp_lanes((w - r->base) * r->inverse, splat(-256), splat(256));
  lanes_i32 code;
  if (type == INGOT_Q8_0) {
    lanes_i32 whole = __builtin_convertvector(scaled, lanes_i32);
    lanes_f32 rest = scaled - __builtin_convertvector(whole, lanes_f32);
    // A comparison is -1 where it holds.
    code = whole - (rest >= 0.5f) + (rest <= -0.5f) + 128;
  } else {
    code = __builtin_convertvector(scaled + r->offset, lanes_i32);
  }
  code &= ~(code < 0);
  lanes_i32 above = code > most;
  store_codes(out, __builtin_convertvector((above & most) | (~above & code), lanes_f32));
}

INGOT_INLINE void mxfp4_codes(lanes_f32 w, float half, uint8_t *out) {
  lanes_f32 size = magnitudes(w);
  lanes_i32 code = -((size > half * 0.5f) + (size > half * 1.5f) + (size > half * 2.5f) +
                     (size > half * 3.5f) + (size > half * 5) + (size > half * 7) + (size > half * 10));
  code += (w < 0) & (code > 0) & 8;
  store_codes(out, __builtin_convertvector(code, lanes_f32));
}

INGOT_INLINE void nearest_blocks(ingot_ggml type, const ingot_ggml_job *job) {
  ggml_shape shape = ggml_shape_of(type);
  size_t blocks = job->rows * (job->columns / shape.weights);
  for (size_t i = 0; i < blocks; i++) {
    lanes_f32 a = load_lanes(job->weights + i * 32), b = load_lanes(job->weights + i * 32 + 16);
    float extreme = first_extreme(a, b);
    ggml_block block;
    if (type == INGOT_MXFP4) {
      block.d = (uint16_t)e8m0_of_greatest(extreme < 0 ? -extreme : extreme);
      mxfp4_codes(a, half_of_e8m0(block.d), block.codes);
      mxfp4_codes(b, half_of_e8m0(block.d), block.codes + 16);
    } else {
      float low = first_equal(a, b, lowest(lower(b, a)));
      float high = first_equal(a, b, -lowest(-higher(b, a)));
      ggml_rounding r = ggml_rounding_for(type, extreme, low, high);
      block.d = r.d;
      block.m = r.m;
      nearest_codes(type, &r, shape.most, a, block.codes);
      nearest_codes(type, &r, shape.most, b, block.codes + 16);
    }
    ggml_write(type, &block, job->blocks + i * shape.bytes);
  }
}

/// `search_exponent` of ../ggml_search.c.
INGOT_INLINE void search_exponents(const ingot_ggml_job *job) {
  size_t blocks = job->rows * (job->columns / 32);
  for (size_t i = 0; i < blocks; i++) {
    lanes_f32 a = load_lanes(job->weights + i * 32), b = load_lanes(job->weights + i * 32 + 16);
    lanes_f32 ha = splat(1), hb = ha;
    if (job->importance) {
      const float *h = job->importance + i * 32 % job->columns;
      ha = load_lanes(h);
      hb = load_lanes(h + 16);
      float peak = -lowest(-higher(higher(hb, ha), splat(0)));
      float importance_factor = power_of_two(-clamped_exponent(peak));
      ha *= importance_factor;
      hb *= importance_factor;
    }
    unsigned greatest = e8m0_of_greatest(-lowest(-higher(magnitudes(b), magnitudes(a))));
    float factor = e8m0_factor(greatest), least = __builtin_inff();
    ggml_block best = {0};
    for (int k = 0; k < GGML_EXPONENTS; k++) {
      uint8_t codes[32];
      unsigned exponent = e8m0_tried(greatest, k);
      float half = half_of_e8m0(exponent);
      mxfp4_codes(a, half, codes);
      mxfp4_codes(b, half, codes + 16);
      lanes_f32 va = __builtin_convertvector(look_up_lanes(ggml_e2m1, codes), lanes_f32);
      lanes_f32 vb = __builtin_convertvector(look_up_lanes(ggml_e2m1, codes + 16), lanes_f32);
      lanes_f32 ra = (a - half * va) * factor, rb = (b - half * vb) * factor;
      lanes_f32 sum = ha * ra * ra;
      sum += hb * rb * rb;
      float error = sum_across(sum)[0];
      if (!(error < least)) continue;
      least = error;
      best.d = (uint16_t)exponent;
      memcpy(best.codes, codes, 32);
    }
    ggml_write(INGOT_MXFP4, &best, job->blocks + i * 17);
  }
}

void BODY(ingot_ggml_nearest)(const ingot_ggml_job *job) {
#define NEAREST(constant) nearest_blocks(constant, job)
  switch (job->type) {
    case INGOT_Q4_0: NEAREST(INGOT_Q4_0); break;
    case INGOT_Q4_1: NEAREST(INGOT_Q4_1); break;
    case INGOT_Q5_0: NEAREST(INGOT_Q5_0); break;
    case INGOT_Q5_1: NEAREST(INGOT_Q5_1); break;
    case INGOT_Q8_0: NEAREST(INGOT_Q8_0); break;
    case INGOT_MXFP4: NEAREST(INGOT_MXFP4); break;
    default: __builtin_unreachable();
  }
#undef NEAREST
}

#endif
