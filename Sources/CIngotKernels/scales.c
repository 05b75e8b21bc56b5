// The extremes of stored scales: magnitudes of a float type are in the order of their bits.
#include <string.h>

#include "isa.h"

static void extremes_of_16(const uint8_t *from, size_t count, size_t stride, uint16_t *least, uint16_t *greatest) {
  uint16_t low = 0x7FFF, high = 0;
  for (size_t i = 0; i < count; i++) {
    uint16_t code;
    memcpy(&code, from + i * stride, 2);
    code &= 0x7FFF;
    low = code < low ? code : low;
    high = code > high ? code : high;
  }
  *least = low;
  *greatest = high;
}

static void extremes_of_8(const uint8_t *from, size_t count, uint16_t *least, uint16_t *greatest) {
  uint8_t low = 0x7F, high = 0;
  for (size_t i = 0; i < count; i++) {
    uint8_t code = from[i] & 0x7F;
    low = code < low ? code : low;
    high = code > high ? code : high;
  }
  *least = low;
  *greatest = high;
}

void ingot_scale_extremes(
    uint32_t width, const void *scales, size_t count, size_t stride, uint16_t *least, uint16_t *greatest) {
  if (width == 1) {
    extremes_of_8(scales, count, least, greatest);
  } else if (stride == 2) {
    // A loop of its own: neighbours go into vectors.
    extremes_of_16(scales, count, 2, least, greatest);
  } else {
    extremes_of_16(scales, count, stride, least, greatest);
  }
}
