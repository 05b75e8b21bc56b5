// Weighted squared error of one row against another.
#include "isa.h"

#pragma STDC FP_CONTRACT OFF

double ingot_squared_error_scalar(const float *a, const float *b, const float *h, size_t count) {
  double lanes[16] = {0};
  for (size_t j = 0; j < count; j++) {
    double difference = (double)a[j] - (double)b[j];
    lanes[j % 16] += (h ? (double)h[j] : 1) * difference * difference;
  }
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; i++) lanes[i] += lanes[i + step];
  return lanes[0];
}

double ingot_squared_error(ingot_isa isa, const float *a, const float *b, const float *h, size_t count) {
  return INGOT_DISPATCH(isa, ingot_squared_error, a, b, h, count);
}
