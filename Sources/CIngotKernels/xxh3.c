// XXH3-64, whole and streamed.
#include "xxh3.h"

#include <string.h>

static const uint64_t prime32_1 = 0x9E3779B1, prime32_2 = 0x85EBCA77, prime32_3 = 0xC2B2AE3D;
static const uint64_t prime64_1 = 0x9E3779B185EBCA87, prime64_2 = 0xC2B2AE3D27D4EB4F;
static const uint64_t prime64_3 = 0x165667B19E3779F9, prime64_4 = 0x85EBCA77C2B2AE63;
static const uint64_t prime64_5 = 0x27D4EB2F165667C5;
static const uint64_t prime_mx1 = 0x165667919E3779F9, prime_mx2 = 0x9FB21C651E98DF25;

static uint64_t word64(const uint8_t *bytes) {
  uint64_t value;
  memcpy(&value, bytes, 8);
  return value;
}

static uint64_t word32(const uint8_t *bytes) {
  uint32_t value;
  memcpy(&value, bytes, 4);
  return value;
}

static uint64_t rotate_left(uint64_t x, int by) { return x << by | x >> (64 - by); }

/// The halves of the 128-bit product, xored.
static uint64_t fold(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t avalanche(uint64_t x) {
  x = (x ^ x >> 37) * prime_mx1;
  return x ^ x >> 32;
}

static uint64_t avalanche_xxh64(uint64_t x) {
  x = (x ^ x >> 33) * prime64_2;
  x = (x ^ x >> 29) * prime64_3;
  return x ^ x >> 32;
}

static uint64_t secret64(size_t offset) { return word64(xxh3_secret + offset); }

static uint64_t mix16(const uint8_t *bytes, size_t offset) {
  return fold(word64(bytes) ^ secret64(offset), word64(bytes + 8) ^ secret64(offset + 8));
}

static uint64_t hash_up_to_16(const uint8_t *p, size_t n) {
  if (n > 8) {
    uint64_t low = word64(p) ^ secret64(24) ^ secret64(32);
    uint64_t high = word64(p + n - 8) ^ secret64(40) ^ secret64(48);
    return avalanche(n + __builtin_bswap64(low) + high + fold(low, high));
  }
  if (n >= 4) {
    uint64_t x = word32(p + n - 4) | word32(p) << 32;
    x ^= secret64(8) ^ secret64(16);
    x ^= rotate_left(x, 49) ^ rotate_left(x, 24);
    x *= prime_mx2;
    x ^= (x >> 35) + n;
    x *= prime_mx2;
    return x ^ x >> 28;
  }
  if (n > 0) {
    uint64_t x = p[n - 1] | (uint64_t)n << 8 | (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 24;
    return avalanche_xxh64(x ^ word32(xxh3_secret) ^ word32(xxh3_secret + 4));
  }
  return avalanche_xxh64(secret64(56) ^ secret64(64));
}

static uint64_t hash_up_to_240(const uint8_t *p, size_t n) {
  uint64_t sum = n * prime64_1;
  if (n <= 128) {
    for (size_t i = (n - 1) / 32 + 1; i-- > 0;)
      sum += mix16(p + 16 * i, 32 * i) + mix16(p + n - 16 * i - 16, 32 * i + 16);
    return avalanche(sum);
  }
  for (size_t i = 0; i < 8; i++) sum += mix16(p + 16 * i, 16 * i);
  sum = avalanche(sum);
  for (size_t i = 8; i < n / 16; i++) sum += mix16(p + 16 * i, 16 * (i - 8) + 3);
  return avalanche(sum + mix16(p + n - 16, 119));
}

static void start(uint64_t lanes[8]) {
  const uint64_t first[8] = {prime32_3, prime64_1, prime64_2, prime64_3,
                             prime64_4, prime32_2, prime64_5, prime32_1};
  memcpy(lanes, first, sizeof first);
}

/// What follows the last whole block: `tail` holds the 1…1024 bytes left, `last` the input's final 64.
static uint64_t finish(
    const uint64_t lanes[8], const uint8_t *tail, size_t tail_count, const uint8_t *last, uint64_t total) {
  uint64_t own[8];
  memcpy(own, lanes, sizeof own);
  xxh3_stripes(own, tail, (tail_count - 1) / XXH3_STRIPE, 0);
  xxh3_stripes(own, last, 1, XXH3_SECRET - XXH3_STRIPE - 7);
  uint64_t sum = total * prime64_1;
  for (size_t i = 0; i < 4; i++)
    sum += fold(own[2 * i] ^ secret64(11 + 16 * i), own[2 * i + 1] ^ secret64(19 + 16 * i));
  return avalanche(sum);
}

uint64_t ingot_xxh3_hash(ingot_isa isa, const void *bytes, size_t count) {
  const uint8_t *p = bytes;
  if (count <= 16) return hash_up_to_16(p, count);
  if (count <= 240) return hash_up_to_240(p, count);
  uint64_t lanes[8];
  start(lanes);
  size_t blocks = (count - 1) / XXH3_BLOCK;
  INGOT_DISPATCH(isa, ingot_xxh3_blocks, lanes, p, blocks);
  return finish(lanes, p + blocks * XXH3_BLOCK, count - blocks * XXH3_BLOCK, p + count - XXH3_STRIPE, count);
}

void ingot_xxh3_init(ingot_xxh3 *state) {
  memset(state, 0, sizeof *state);
  start(state->lanes);
}

// A block is accumulated only when a byte after it is known, since the last block ends differently.
void ingot_xxh3_update(ingot_isa isa, ingot_xxh3 *state, const void *bytes, size_t count) {
  const uint8_t *p = bytes;
  if (count == 0) return;
  state->total += count;
  size_t room = XXH3_BLOCK - state->buffered;
  if (count <= room) {
    memcpy(state->buffer + state->buffered, p, count);
    state->buffered += (uint32_t)count;
    return;
  }
  if (state->buffered > 0) {
    memcpy(state->buffer + state->buffered, p, room);
    INGOT_DISPATCH(isa, ingot_xxh3_blocks, state->lanes, state->buffer, 1);
    p += room;
    count -= room;
    state->buffered = 0;
  }
  size_t blocks = (count - 1) / XXH3_BLOCK;
  INGOT_DISPATCH(isa, ingot_xxh3_blocks, state->lanes, p, blocks);
  if (blocks > 0) {
    // The end of the buffer keeps the 64 bytes before what will be buffered: a short tail needs them.
    memcpy(
        state->buffer + XXH3_BLOCK - XXH3_STRIPE, p + blocks * XXH3_BLOCK - XXH3_STRIPE, XXH3_STRIPE);
  }
  p += blocks * XXH3_BLOCK;
  count -= blocks * XXH3_BLOCK;
  memcpy(state->buffer, p, count);
  state->buffered = (uint32_t)count;
}

uint64_t ingot_xxh3_digest(const ingot_xxh3 *state) {
  size_t held = state->buffered;
  if (state->total <= 240) {
    return held <= 16 ? hash_up_to_16(state->buffer, held) : hash_up_to_240(state->buffer, held);
  }
  uint8_t last[XXH3_STRIPE];
  if (held >= XXH3_STRIPE) {
    memcpy(last, state->buffer + held - XXH3_STRIPE, XXH3_STRIPE);
  } else {
    memcpy(last, state->buffer + XXH3_BLOCK - XXH3_STRIPE + held, XXH3_STRIPE - held);
    memcpy(last + XXH3_STRIPE - held, state->buffer, held);
  }
  return finish(state->lanes, state->buffer, held, last, state->total);
}
