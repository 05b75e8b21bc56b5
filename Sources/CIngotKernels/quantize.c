// Round to nearest, and the choice between it, the search and MLX's rule.
#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

void ingot_round_to_nearest_scalar(const ingot_quantize_job *job) {
  float most = (float)((1 << job->bits) - 1);
  size_t groups = job->rows * groups_per_row(job);
  for (size_t index = 0; index < groups; index++) {
    quantize_group group = group_at(job, index);
    float low = group.weights[0], high = low;
    for (size_t j = 1; j < group.count; j++) {
      low = group.weights[j] < low ? group.weights[j] : low;
      high = group.weights[j] > high ? group.weights[j] : high;
    }
    affine_fit fit = round_to_nearest_fit(job->scheme, job->storage, job->bits, low, high);
    write_fit(job, index, fit);
    for (size_t j = 0; j < group.count; j++) {
      float code = fit.step == 0 ? 0 : (group.weights[j] - fit.bias) / fit.step;
      code = round_even(clamp(code, -fit.zero, most - fit.zero)) + fit.zero;
      job->codes[group.codes + j] = (uint8_t)(int)code;
    }
  }
}

void ingot_quantize(ingot_isa isa, const ingot_quantize_job *job) {
  if (job->mlx) {
    INGOT_DISPATCH(isa, ingot_mlx, job);
  } else if (job->search) {
    INGOT_DISPATCH(isa, ingot_search, job);
  } else {
    INGOT_DISPATCH(isa, ingot_round_to_nearest, job);
  }
}
