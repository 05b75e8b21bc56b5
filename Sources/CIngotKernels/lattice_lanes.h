// What the bodies of lattice_*.h are written in: sixteen rows or blocks at a time where vector/lanes.h is there, one
// otherwise. The scalar reference is the same text with one lane; that it finds the best is tested by trying all points.
#ifndef INGOT_LATTICE_LANES_H
#define INGOT_LATTICE_LANES_H

#if defined(INGOT_VECTOR_LANES_H)

enum { LANES = 16 };
typedef lanes_f32 many;
typedef lanes_i32 many_mask;
INGOT_INLINE many all_of(float value) { return splat(value); }
INGOT_INLINE many load_many(const float *source) { return load_lanes(source); }
INGOT_INLINE void store_many(float *out, many value) { store_lanes(out, value); }
INGOT_INLINE many choose_many(many_mask mask, many yes, many no) { return choose(mask, yes, no); }
INGOT_INLINE many clamp_many(many value, float low, float high) { return clamp_lanes(value, splat(low), splat(high)); }
INGOT_INLINE many round_many(many value) { return round_even_lanes(value); }
INGOT_INLINE many stored_many(many value) { return stored_lanes(INGOT_F16, value); }
INGOT_INLINE many magnitude_many(many value) { return magnitudes(value); }
INGOT_INLINE many power_near(many value, bool inverse) {
  lanes_i32 exponents = clamped_exponents(value);
  return powers_of_two(inverse ? -exponents : exponents);
}

#else

#define BODY(name) name##_scalar
enum { LANES = 1 };
typedef float many;
typedef int many_mask;
INGOT_INLINE many all_of(float value) { return value; }
INGOT_INLINE many load_many(const float *source) { return *source; }
INGOT_INLINE void store_many(float *out, many value) { *out = value; }
INGOT_INLINE many choose_many(many_mask mask, many yes, many no) { return mask ? yes : no; }
INGOT_INLINE many clamp_many(many value, float low, float high) { return clamp(value, low, high); }
INGOT_INLINE many round_many(many value) { return round_even(value); }
INGOT_INLINE many stored_many(many value) { return stored(INGOT_F16, value); }
INGOT_INLINE many magnitude_many(many value) { return float_of(float_bits(value) & 0x7FFFFFFF); }
INGOT_INLINE many power_near(many value, bool inverse) {
  int exponent = clamped_exponent(value);
  return power_of_two(inverse ? -exponent : exponent);
}

#endif

INGOT_INLINE many least_of(many a, many b) { return choose_many(a < b, a, b); }
INGOT_INLINE many inverse_many(many value) { return choose_many(value != 0, all_of(1) / value, all_of(0)); }

#endif
