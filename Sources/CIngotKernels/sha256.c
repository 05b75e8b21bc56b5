// SHA-256 (FIPS 180-4).
#include <string.h>

#include "isa.h"

#if defined(INGOT_X86)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(INGOT_ARM64)
#include <arm_neon.h>
#endif

static const uint32_t first_words[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                        0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

/// Fractional parts of the cube roots of the first 64 primes.
static const uint32_t round_words[64] __attribute__((aligned(16))) = {
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
};

static uint32_t rotate_right(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void compress_scalar(uint32_t words[8], const uint8_t *bytes, size_t blocks) {
  for (; blocks > 0; blocks--, bytes += 64) {
    uint32_t w[64];
    for (int t = 0; t < 16; t++) {
      memcpy(&w[t], bytes + 4 * t, 4);
      w[t] = __builtin_bswap32(w[t]);
    }
    for (int t = 16; t < 64; t++) {
      uint32_t x = w[t - 15], y = w[t - 2];
      w[t] = w[t - 16] + w[t - 7] + (rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3) +
             (rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10);
    }
    uint32_t a = words[0], b = words[1], c = words[2], d = words[3];
    uint32_t e = words[4], f = words[5], g = words[6], h = words[7];
    for (int t = 0; t < 64; t++) {
      uint32_t one = h + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
                     ((e & f) ^ (~e & g)) + round_words[t] + w[t];
      uint32_t two = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
                     ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + one;
      d = c, c = b, b = a, a = one + two;
    }
    words[0] += a, words[1] += b, words[2] += c, words[3] += d;
    words[4] += e, words[5] += f, words[6] += g, words[7] += h;
  }
}

#if defined(INGOT_X86)

/// The instructions work on the words as (a, b, e, f) and (c, d, g, h), highest first.
__attribute__((target("sha,sse4.1"))) static void compress_accelerated(
    uint32_t words[8], const uint8_t *bytes, size_t blocks) {
  const __m128i big_endian = _mm_set_epi64x(0x0C0D0E0F08090A0B, 0x0405060700010203);
  __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)words), 0xB1);
  __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(words + 4)), 0x1B);
  __m128i abef = _mm_alignr_epi8(badc, efgh, 8), cdgh = _mm_blend_epi16(efgh, badc, 0xF0);
  for (; blocks > 0; blocks--, bytes += 64) {
    __m128i abef_before = abef, cdgh_before = cdgh, w[4];
    for (int i = 0; i < 4; i++)
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(bytes + 16 * i)), big_endian);
#pragma clang loop unroll(full)
    for (int t = 0; t < 16; t++) {
      __m128i last = w[(t + 3) % 4];
      if (t >= 4) {
        __m128i nine_to_twelve = _mm_alignr_epi8(last, w[(t + 2) % 4], 4);
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[t % 4], w[(t + 1) % 4]), nine_to_twelve);
        w[t % 4] = _mm_sha256msg2_epu32(sum, last);
      }
      __m128i k = _mm_add_epi32(w[t % 4], _mm_load_si128((const __m128i *)(round_words + 4 * t)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0E));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128((__m128i *)words, _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128((__m128i *)(words + 4), _mm_alignr_epi8(dchg, feba, 8));
}

bool ingot_sha256_accelerated(void) {
  // Leaf 7, EBX bit 29; what the vector parts need besides comes with every processor that has it.
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1 && __builtin_cpu_supports("sse4.1");
}

#elif defined(INGOT_ARM64) && defined(__ARM_FEATURE_SHA2)

static void compress_accelerated(uint32_t words[8], const uint8_t *bytes, size_t blocks) {
  uint32x4_t abcd = vld1q_u32(words), efgh = vld1q_u32(words + 4);
  for (; blocks > 0; blocks--, bytes += 64) {
    uint32x4_t abcd_before = abcd, efgh_before = efgh, w[4];
    for (int i = 0; i < 4; i++) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes + 16 * i)));
#pragma clang loop unroll(full)
    for (int t = 0; t < 16; t++) {
      if (t >= 4)
        w[t % 4] = vsha256su1q_u32(vsha256su0q_u32(w[t % 4], w[(t + 1) % 4]), w[(t + 2) % 4], w[(t + 3) % 4]);
      uint32x4_t k = vaddq_u32(w[t % 4], vld1q_u32(round_words + 4 * t)), abcd_now = abcd;
      abcd = vsha256hq_u32(abcd, efgh, k);
      efgh = vsha256h2q_u32(efgh, abcd_now, k);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(words, abcd);
  vst1q_u32(words + 4, efgh);
}

bool ingot_sha256_accelerated(void) { return true; }

#else

static void compress_accelerated(uint32_t words[8], const uint8_t *bytes, size_t blocks) {
  compress_scalar(words, bytes, blocks);
}

bool ingot_sha256_accelerated(void) { return false; }

#endif

static void compress(uint32_t words[8], const uint8_t *bytes, size_t blocks, bool accelerated) {
  if (accelerated) {
    compress_accelerated(words, bytes, blocks);
  } else {
    compress_scalar(words, bytes, blocks);
  }
}

void ingot_sha256_init(ingot_sha256 *state) {
  memset(state, 0, sizeof *state);
  memcpy(state->words, first_words, sizeof first_words);
}

void ingot_sha256_update(ingot_sha256 *state, const void *bytes, size_t count, bool accelerated) {
  const uint8_t *p = bytes;
  if (count == 0) return;
  size_t held = state->total % 64;
  state->total += count;
  if (held > 0) {
    size_t taken = count < 64 - held ? count : 64 - held;
    memcpy(state->buffer + held, p, taken);
    if (held + taken < 64) return;
    compress(state->words, state->buffer, 1, accelerated);
    p += taken;
    count -= taken;
  }
  compress(state->words, p, count / 64, accelerated);
  memcpy(state->buffer, p + count / 64 * 64, count % 64);
}

void ingot_sha256_digest(const ingot_sha256 *state, uint8_t digest[32]) {
  uint32_t words[8];
  memcpy(words, state->words, sizeof words);
  uint8_t end[128] = {0};
  size_t held = state->total % 64, size = held < 56 ? 64 : 128;
  memcpy(end, state->buffer, held);
  end[held] = 0x80;
  uint64_t length = __builtin_bswap64(state->total * 8);
  memcpy(end + size - 8, &length, 8);
  compress_scalar(words, end, size / 64);
  for (int i = 0; i < 8; i++) {
    uint32_t word = __builtin_bswap32(words[i]);
    memcpy(digest + 4 * i, &word, 4);
  }
}
