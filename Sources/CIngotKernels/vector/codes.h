// Packing, unpacking and decoding codes. Eight codes share a 64-bit word: neighbours are joined to pairs,
// fours and the whole, or parted the same way.
#ifndef INGOT_VECTOR_CODES_H
#define INGOT_VECTOR_CODES_H

#include "lanes.h"

#if defined(INGOT_VBMI)
#include <immintrin.h>

#define EIGHT(place, bits, k) \
  place(bits, (k)), place(bits, (k) + 1), place(bits, (k) + 2), place(bits, (k) + 3), \
      place(bits, (k) + 4), place(bits, (k) + 5), place(bits, (k) + 6), place(bits, (k) + 7)
#define ORDER(place, bits) \
  {EIGHT(place, bits, 0),  EIGHT(place, bits, 8),  EIGHT(place, bits, 16), EIGHT(place, bits, 24), \
   EIGHT(place, bits, 32), EIGHT(place, bits, 40), EIGHT(place, bits, 48), EIGHT(place, bits, 56)}
#define ORDERS(place) \
  {ORDER(place, 1), ORDER(place, 2), ORDER(place, 3), ORDER(place, 4), \
   ORDER(place, 5), ORDER(place, 6), ORDER(place, 7)}
#define PLACE_IN_WORDS(bits, k) ((k) / (bits) * 8 + (k) % (bits)) & 63
#define PLACE_IN_STREAM(bits, k) (k) / 8 * (bits) + (k) % 8

/// By bits - 1: which byte of eight words each byte of the stream is, and the other way round.
static const uint8_t words_to_stream[7][64] = ORDERS(PLACE_IN_WORDS);
static const uint8_t stream_to_words[7][64] = ORDERS(PLACE_IN_STREAM);
#endif

INGOT_INLINE words_u64 join_codes(words_u64 x, unsigned bits) {
  x = (x & 0x00FF00FF00FF00FF) | (x & 0xFF00FF00FF00FF00) >> (8 - bits);
  x = (x & 0x0000FFFF0000FFFF) | (x & 0xFFFF0000FFFF0000) >> (16 - 2 * bits);
  return (x & 0x00000000FFFFFFFF) | (x & 0xFFFFFFFF00000000) >> (32 - 4 * bits);
}

INGOT_INLINE words_u64 part_codes(words_u64 x, unsigned bits) {
  uint64_t one = (1ull << bits) - 1, two = (1ull << 2 * bits) - 1, four = (1ull << 4 * bits) - 1;
  x = (x & four) | (x & four << 4 * bits) << (32 - 4 * bits);
  x = (x & two * 0x0000000100000001) | (x & (two << 2 * bits) * 0x0000000100000001) << (16 - 2 * bits);
  return (x & one * 0x0001000100010001) | (x & (one << bits) * 0x0001000100010001) << (8 - bits);
}

void BODY(ingot_pack)(unsigned bits, const uint8_t *codes, void *packed, size_t count) {
  uint8_t *out = packed;
  if (count == 0) return;
  if (bits == 8) {
    memcpy(out, codes, count);
    return;
  }
  uint64_t kept = 0x0101010101010101 * ((1u << bits) - 1);
#if defined(INGOT_VBMI)
  __m512i order = _mm512_loadu_si512(words_to_stream[bits - 1]);
  __mmask64 written = (1ull << 8 * bits) - 1;
  for (; count >= 64; count -= 64, codes += 64, out += 8 * bits) {
    words_u64 words;
    memcpy(&words, codes, sizeof words);
    words = join_codes(words & kept, bits);
    _mm512_mask_storeu_epi8(out, written, _mm512_permutexvar_epi8(order, (__m512i)words));
  }
  if (count > 0) {
    words_u64 words = (words_u64)_mm512_maskz_loadu_epi8((1ull << count) - 1, codes);
    words = join_codes(words & kept, bits);
    written = (1ull << (count * bits + 7) / 8) - 1;
    _mm512_mask_storeu_epi8(out, written, _mm512_permutexvar_epi8(order, (__m512i)words));
  }
#else
  // Each word is written whole, the next one over its unused end: so not up to the end of the stream.
  for (; count >= 64 + 64; count -= 64, codes += 64, out += 8 * bits) {
    words_u64 words;
    memcpy(&words, codes, sizeof words);
    words = join_codes(words & kept, bits);
    for (unsigned i = 0; i < 8; i++) {
      uint64_t word = words[i];
      memcpy(out + i * bits, &word, 8);
    }
  }
  ingot_pack_scalar(bits, codes, out, count);
#endif
}

void BODY(ingot_unpack)(unsigned bits, const void *packed, uint8_t *codes, size_t count) {
  const uint8_t *in = packed;
  if (count == 0) return;
  if (bits == 8) {
    memcpy(codes, in, count);
    return;
  }
#if defined(INGOT_VBMI)
  __m512i order = _mm512_loadu_si512(stream_to_words[bits - 1]);
  __mmask64 read = (1ull << 8 * bits) - 1;
  uint64_t places = 0;
  for (unsigned i = 0; i < 8; i++) places |= (uint64_t)(i * bits) << 8 * i;
  __m512i shifts = _mm512_set1_epi64((long long)places);
  __m512i kept = _mm512_set1_epi8((char)((1u << bits) - 1));
  for (; count >= 64; count -= 64, codes += 64, in += 8 * bits) {
    __m512i words = _mm512_permutexvar_epi8(order, _mm512_maskz_loadu_epi8(read, in));
    _mm512_storeu_si512(codes, _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, words), kept));
  }
#else
  // Each word is read whole, beyond the bits it needs: so not up to the end of the stream.
  for (; count >= 64 + 64; count -= 64, codes += 64, in += 8 * bits) {
    uint64_t each[8];
    for (unsigned i = 0; i < 8; i++) memcpy(each + i, in + i * bits, 8);
    words_u64 words;
    memcpy(&words, each, sizeof words);
    words = part_codes(words, bits);
    memcpy(codes, &words, sizeof words);
  }
#endif
  ingot_unpack_scalar(bits, in, codes, count);
}

INGOT_INLINE lanes_i32 load_codes(const uint8_t *codes) {
  lanes_u8 bytes;
  memcpy(&bytes, codes, sizeof bytes);
  return __builtin_convertvector(bytes, lanes_i32);
}

void BODY(ingot_decode_columns)(
    const ingot_affine_row *row, const uint8_t *codes, size_t first, size_t count) {
  for (size_t j = first, end = first + count; j < end;) {
    size_t g = j / row->group, stop = (g + 1) * row->group;
    if (stop > end) stop = end;
    float scale = row->scales[g];
    if (row->biases) {
      float bias = row->biases[g];
      for (; j + 16 <= stop; j += 16) {
        lanes_f32 product = __builtin_convertvector(load_codes(codes + (j - first)), lanes_f32) * scale;
        store_lanes(row->out + j, product + bias);
      }
      for (; j < stop; j++) {
        float product = scale * (float)codes[j - first];
        row->out[j] = product + bias;
      }
    } else {
      int zero = row->zeros ? row->zeros[g] : row->zero;
      for (; j + 16 <= stop; j += 16) {
        lanes_i32 difference = load_codes(codes + (j - first)) - zero;
        store_lanes(row->out + j, __builtin_convertvector(difference, lanes_f32) * scale);
      }
      for (; j < stop; j++) row->out[j] = scale * (float)(codes[j - first] - zero);
    }
  }
}

#endif
