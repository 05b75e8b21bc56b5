// Looking for NaN and infinity.
#include "floats.h"

size_t ingot_first_non_finite_scalar(const float *values, size_t count) {
  for (size_t j = 0; j < count; j++)
    if ((float_bits(values[j]) & 0x7F800000) == 0x7F800000) return j;
  return count;
}

size_t ingot_first_non_finite(ingot_isa isa, const float *values, size_t count) {
  return INGOT_DISPATCH(isa, ingot_first_non_finite, values, count);
}
