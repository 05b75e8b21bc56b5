// The inner loop of XXH3 on all eight lanes at once.
#ifndef INGOT_VECTOR_HASH_H
#define INGOT_VECTOR_HASH_H

#include "../xxh3.h"
#include "lanes.h"

void BODY(ingot_xxh3_blocks)(uint64_t *lanes, const uint8_t *bytes, size_t blocks) {
  words_u64 sum, word, secret;
  memcpy(&sum, lanes, sizeof sum);
  for (; blocks > 0; blocks--, bytes += XXH3_BLOCK) {
    for (size_t s = 0; s < XXH3_BLOCK / XXH3_STRIPE; s++) {
      memcpy(&word, bytes + XXH3_STRIPE * s, sizeof word);
      memcpy(&secret, xxh3_secret + 8 * s, sizeof secret);
      secret ^= word;
      sum += __builtin_shufflevector(word, word, 1, 0, 3, 2, 5, 4, 7, 6);
      sum += (secret & 0xFFFFFFFF) * (secret >> 32);
    }
    memcpy(&secret, xxh3_secret + XXH3_SECRET - XXH3_STRIPE, sizeof secret);
    sum ^= sum >> 47 ^ secret;
    // A 64 × 32 bit product out of two 32 × 32 ones, which every instruction set has.
    sum = (sum & 0xFFFFFFFF) * 0x9E3779B1 + ((sum >> 32) * 0x9E3779B1 << 32);
  }
  memcpy(lanes, &sum, sizeof sum);
}

#endif
