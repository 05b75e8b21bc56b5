// Constants and the stripe loop of XXH3 (specification: xxHash's doc/xxhash_spec.md, 64-bit variant,
// seed 0, default secret).
#ifndef INGOT_XXH3_H
#define INGOT_XXH3_H

#include "isa.h"

enum { XXH3_STRIPE = 64, XXH3_BLOCK = 1024, XXH3_SECRET = 192 };

extern const uint8_t xxh3_secret[XXH3_SECRET];

/// `stripes` stripes, the first against the secret at `offset`, each next one 8 bytes on.
void xxh3_stripes(uint64_t lanes[8], const uint8_t *bytes, size_t stripes, size_t offset);

#endif
