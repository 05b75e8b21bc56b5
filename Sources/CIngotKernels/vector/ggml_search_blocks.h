// Feeding the search into GGML blocks: as many blocks at once as have sixteen parts, transposed, one part a
// lane.
#ifndef INGOT_VECTOR_GGML_SEARCH_BLOCKS_H
#define INGOT_VECTOR_GGML_SEARCH_BLOCKS_H

#include "ggml_nearest.h"
#include "ggml_search.h"
#include "search_groups.h"

/// The greatest of the lanes of each block, in each of them.
INGOT_INLINE lanes_f32 ggml_greatest(const ggml_form *form, lanes_f32 x) {
  if (form->parts == 1) return x;
  if (form->parts == 16)
    x = higher(x, SHUFFLE(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  x = higher(x, SHUFFLE(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  x = higher(x, SHUFFLE(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  return higher(x, SHUFFLE(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
}

/// Loads sixteen parts that begin at `starts`, in these columns, and scales them as `view_of` does.
static void ggml_load(
    ggml_lanes *v, const ingot_ggml_job *job, const size_t starts[16], const size_t columns[16]) {
  size_t part = v->form.part;
  lanes_f32 extreme = splat(0), peak = extreme;
  for (size_t k = 0; k < part; k += 16) {
    for (size_t lane = 0; lane < 16; lane++) v->w[k + lane] = load_lanes(job->weights + starts[lane] + k);
    transpose_lanes(v->w + k);
    if (!job->importance) continue;
    for (size_t lane = 0; lane < 16; lane++)
      v->h[k + lane] = load_lanes(job->importance + columns[lane] + k);
    transpose_lanes(v->h + k);
  }
  for (size_t k = 0; k < part; k++) {
    lanes_f32 magnitude = as_f32(as_bits(v->w[k]) & 0x7FFFFFFF);
    extreme = higher(magnitude, extreme);
    if (job->importance) peak = higher(v->h[k], peak);
  }
  lanes_i32 exponents = clamped_exponents(ggml_greatest(&v->form, extreme));
  lanes_f32 importance_factor = powers_of_two(-clamped_exponents(ggml_greatest(&v->form, peak)));
  v->factor = powers_of_two(-exponents);
  v->real = powers_of_two(exponents);
  v->sum_h = v->sum_hw = splat(0);
  lanes_i32 heard = ~(lanes_i32){0};
  if (job->importance) {
    heard ^= heard;
    for (size_t k = 0; k < part; k++) {
      v->h[k] *= importance_factor;
      heard |= v->h[k] > 0;
    }
  }
  for (size_t k = 0; k < part; k++) {
    lanes_f32 h = job->importance ? choose(heard, v->h[k], splat(GGML_UNHEARD)) : splat(1);
    v->w[k] *= v->factor;
    v->h[k] = h;
    v->hw[k] = h * v->w[k];
    v->sum_h += h;
    v->sum_hw += v->hw[k];
  }
}

/// Blocks first ..< first + count; the lanes left over repeat the last.
static void ggml_search_some(const ingot_ggml_job *job, size_t first, size_t count) {
  ggml_shape shape = ggml_shape_of(job->type);
  ggml_lanes v;
  v.form = ggml_form_of(job->type);
  size_t part = v.form.part, parts = v.form.parts, starts[16], columns[16];
  for (size_t lane = 0; lane < 16; lane++) {
    size_t block = first + (lane / parts < count ? lane / parts : count - 1), within = lane % parts * part;
    starts[lane] = block * shape.weights + within;
    // A division takes longer than a look at the lane before.
    size_t same = lane > 0 && starts[lane] - starts[lane - 1] == part && within > 0;
    columns[lane] = same ? columns[lane - 1] + part : starts[lane] % job->columns;
  }
  ggml_load(&v, job, starts, columns);
  ggml_lane_choice best = ggml_search_cases(&v, job->importance != NULL);
  ggml_form form = ggml_form_of(job->type);
  ggml_kind kind = {form.table != NULL, form.minima, true};
  lanes_f32 inverse = ggml_inverses(best.d * best.scales), offset = best.m * best.minima;
  lanes_f32 d = best.d * v.real, m = best.m * v.real;
  for (size_t k = 0; k < part; k++) v.w[k] = ggml_codes(&form, kind, (v.w[k] + offset) * inverse);
  for (size_t k = 0; k < part; k += 16) transpose_lanes(v.w + k);
  for (size_t i = 0; i < count; i++) {
    ggml_block block;
    block.d = f16_of_float(d[i * parts]);
    block.m = f16_of_float(parts == 1 ? -m[i * parts] : m[i * parts]);
    for (size_t j = 0; j < parts; j++) {
      size_t lane = i * parts + j;
      block.scales[j] = (int16_t)best.scales[lane];
      block.minima[j] = (int8_t)best.minima[lane];
      for (size_t k = 0; k < part; k += 16) store_codes(block.codes + j * part + k, v.w[k + lane]);
    }
    uint8_t *out = job->blocks + (first + i) * shape.bytes;
#define WRITE(constant) ggml_write(constant, &block, out)
    GGML_CASES(job->type, WRITE)
#undef WRITE
  }
}

void BODY(ingot_ggml_search)(const ingot_ggml_job *job) {
  if (job->type == INGOT_MXFP4) {
    search_exponents(job);
    return;
  }
  size_t blocks = job->rows * (job->columns / ggml_shape_of(job->type).weights);
  size_t step = 16 / ggml_form_of(job->type).parts;
  for (size_t first = 0; first < blocks; first += step)
    ggml_search_some(job, first, blocks - first < step ? blocks - first : step);
}

#endif
