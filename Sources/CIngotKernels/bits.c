// Codes one per byte to and from a bit stream, least significant bit first.
#include <string.h>

#include "isa.h"

void ingot_pack_scalar(unsigned bits, const uint8_t *codes, void *packed, size_t count) {
  uint8_t *out = packed;
  uint32_t pending = 0, held = 0, mask = (1u << bits) - 1;
  for (size_t j = 0; j < count; j++) {
    pending |= (codes[j] & mask) << held;
    held += bits;
    if (held >= 8) {
      *out++ = (uint8_t)pending;
      pending >>= 8;
      held -= 8;
    }
  }
  if (held) *out = (uint8_t)pending;
}

void ingot_unpack_scalar(unsigned bits, const void *packed, uint8_t *codes, size_t count) {
  const uint8_t *in = packed;
  uint32_t pending = 0, held = 0, mask = (1u << bits) - 1;
  for (size_t j = 0; j < count; j++) {
    if (held < bits) {
      pending |= (uint32_t)*in++ << held;
      held += 8;
    }
    codes[j] = (uint8_t)(pending & mask);
    pending >>= bits;
    held -= bits;
  }
}

void ingot_pack(ingot_isa isa, unsigned bits, const uint8_t *codes, void *packed, size_t count) {
  INGOT_DISPATCH(isa, ingot_pack, bits, codes, packed, count);
}

void ingot_unpack(ingot_isa isa, unsigned bits, const void *packed, uint8_t *codes, size_t count) {
  INGOT_DISPATCH(isa, ingot_unpack, bits, packed, codes, count);
}
