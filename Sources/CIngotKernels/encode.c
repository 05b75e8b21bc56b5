// F32 to stored floats.
#include "floats.h"

#pragma STDC FP_CONTRACT OFF

void ingot_encode_scalar(ingot_float format, const float *source, void *out, size_t count) {
  for (size_t j = 0; j < count; j++) encode_one(format, source[j], out, j);
}

void ingot_encode(ingot_isa isa, ingot_float format, const float *source, void *out, size_t count) {
  INGOT_DISPATCH(isa, ingot_encode, format, source, out, count);
}
