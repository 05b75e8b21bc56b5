// Affine codes as MLX chooses them: scalar reference.
//
// Rule, all in F32: n = 2^bits - 1, s = max((max - min) / n, 1e-7). The edge is min where |min| > |max|, else max
// and s changes its sign. With q = edge / s rounded, s = edge / q and bias = edge; if q is 0, bias = 0.
#include <math.h>

#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

void ingot_mlx_scalar(const ingot_quantize_job *job) {
  float most = (float)((1 << job->bits) - 1);
  size_t groups = job->rows * groups_per_row(job);
  for (size_t index = 0; index < groups; index++) {
    quantize_group group = group_at(job, index);
    float low = group.weights[0], high = low;
    for (size_t j = 1; j < group.count; j++) {
      low = group.weights[j] < low ? group.weights[j] : low;
      high = group.weights[j] > high ? group.weights[j] : high;
    }
    float step = (high - low) / most, edge = low, bias = 0;
    step = step > 1e-7f ? step : 1e-7f;
    if (!((low < 0 ? -low : low) > (high < 0 ? -high : high))) {
      edge = high;
      step = -step;
    }
    float steps = rintf(edge / step);
    if (steps != 0) {
      step = edge / steps;
      bias = edge;
    }
    affine_fit fit = {stored(job->storage, step), 0, stored(job->storage, bias)};
    write_fit(job, index, fit);
    for (size_t j = 0; j < group.count; j++) {
      float code = round_even(clamp((group.weights[j] - bias) / step, 0, most));
      job->codes[group.codes + j] = (uint8_t)(int)code;
    }
  }
}
