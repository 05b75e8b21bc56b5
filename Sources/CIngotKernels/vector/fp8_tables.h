// Round to nearest from FP8 with block scales to codes with a sign: scale and codes of a group follow from its greatest
// magnitude and the block's scale alone. So a table of the 128 magnitudes is made for each greatest one that occurs in a
// block, and 64 codes are looked up at a time.
#ifndef INGOT_VECTOR_FP8_TABLES_H
#define INGOT_VECTOR_FP8_TABLES_H

#include "affine_rows.h"
#include "ggml_nearest.h"
#include "micro.h"

#if defined(INGOT_VBMI)

typedef int8_t keys_i8 __attribute__((vector_size(64)));

/// How codes follow from weights of a group.
typedef struct {
  uint16_t stored;         // the scale
  bool divides;
  float divisor, inverse;  // weights are divided, or multiplied
} table_rule;

INGOT_INLINE table_rule table_rule_for(const ingot_table_job *job, float extreme) {
  table_rule rule = {0, true, 0, 0};
  switch (job->kind) {
    case INGOT_TABLE_AFFINE: {
      affine_fit fit = round_to_nearest_fit(INGOT_SYMMETRIC, job->storage, job->bits, -extreme, extreme);
      uint8_t bytes[4];
      encode_one(job->storage, fit.step, bytes, 0);
      rule.stored = load_u16(bytes);
      rule.divisor = fit.step;
      break;
    }
    case INGOT_TABLE_Q8_0:
    case INGOT_TABLE_Q4_0: {
      ggml_rounding rounding =
          ggml_rounding_for(job->kind == INGOT_TABLE_Q8_0 ? INGOT_Q8_0 : INGOT_Q4_0, extreme, -extreme, extreme);
      rule = (table_rule){rounding.d, false, 1, rounding.inverse};
      break;
    }
    case INGOT_TABLE_MICRO:
      rule.stored = (uint16_t)micro_scale_byte(job->micro, extreme);
      rule.divisor = micro_scale(job->micro, rule.stored);
      break;
  }
  return rule;
}

/// Entries of sixteen magnitudes, divided by the scale. Those of Q4_0 hold two codes: that of the weight with the
/// extreme's sign in the low nibble, that with the other sign above it.
INGOT_INLINE void put_entries(const ingot_table_job *job, lanes_f32 x, uint8_t *entries) {
  lanes_i32 codes;
  switch (job->kind) {
    case INGOT_TABLE_AFFINE: codes = whole_steps(lower(x, splat((float)(1u << (job->bits - 1))))); break;
    // Halves away from 0, as in block_rows.h.
    case INGOT_TABLE_Q8_0: codes = __builtin_convertvector(x + 0x1.FFFFFEp-2f, lanes_i32); break;
    case INGOT_TABLE_Q4_0: {
      lanes_i32 same = __builtin_convertvector(x + 8.5f, lanes_i32);
      lanes_i32 other = __builtin_convertvector(lower(8.5f - x, splat(15)), lanes_i32);
      codes = same | other << 4;
      break;
    }
    case INGOT_TABLE_MICRO: codes = e2m1_steps(x); break;
  }
  lanes_u8 bytes = __builtin_convertvector(codes, lanes_u8);
  memcpy(entries, &bytes, sizeof bytes);
}

INGOT_INLINE lanes_f32 divided_weights(bytes_i8 codes, float block_scale, const table_rule *rule) {
  lanes_f32 weight = decode_lanes(INGOT_F8E4M3, (const uint8_t *)&codes) * block_scale;
  return rule->divides ? weight / rule->divisor : weight * rule->inverse;
}

/// Codes of magnitudes when the greatest is `top`; gives the scale as it is stored.
static __attribute__((noinline)) uint16_t make_table(const ingot_table_job *job, float block_scale, uint32_t top, uint8_t table[128]) {
  uint8_t code = (uint8_t)top;
  table_rule rule = table_rule_for(job, decode_one(INGOT_F8E4M3, &code, 0) * block_scale);
  // What is many binades smaller is 0.
  memset(table, job->kind == INGOT_TABLE_Q4_0 ? 0x88 : 0, 128);
  if (!(rule.divisor > 0)) return rule.stored;
  const bytes_i8 order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#define DIVIDED(first) divided_weights(order + (int8_t)(first), block_scale, &rule)
  if (top < 80) {
    for (size_t first = top & ~15u;; first -= 16) {
      put_entries(job, DIVIDED(first), table + first);
      if (first == 0) return rule.stored;
    }
  }
  // Two binades give all others, divided by powers of two: these two, since among the upper ones may be the NaN.
  bool few = job->kind == INGOT_TABLE_Q4_0 || (job->kind == INGOT_TABLE_AFFINE && job->bits <= 4);
  size_t first = (top & ~7u) - 8;
  lanes_f32 x = DIVIDED(first - 16) * 4;
  for (int k = 0; k < (few ? 3 : 5); k++, x *= 0.25f) put_entries(job, x, table + first - 16 * (size_t)k);
#undef DIVIDED
  return rule.stored;
}

/// Tables of one block of columns. Small tops are rare and get no place.
typedef struct {
  // Aligned: a load that lies across two lines of the cache takes twice as long.
  uint8_t tables[64][128] __attribute__((aligned(64)));
  uint64_t known;
  uint16_t scales[64];
} block_tables;

_Static_assert(sizeof(block_tables) <= INGOT_BLOCK_TABLES, "scratch for the tables of a block");

typedef struct {
  const uint8_t *table;
  uint16_t scale;
} table_entry;

/// The table for a group; `spare` holds it when it has no place.
INGOT_INLINE table_entry table_for(
    const ingot_table_job *job, block_tables *block, float block_scale, uint32_t top, uint8_t spare[128]) {
  table_entry entry;
  if (top < 64) {
    entry.scale = make_table(job, block_scale, top, spare);
    entry.table = spare;
    return entry;
  }
  uint32_t place = top - 64;
  if (__builtin_expect(!(block->known >> place & 1), 0)) {
    block->scales[place] = make_table(job, block_scale, top, block->tables[place]);
    block->known |= 1ull << place;
  }
  entry.table = block->tables[place];
  entry.scale = block->scales[place];
  return entry;
}

/// The greatest byte of each of sixteen registers, in their order.
INGOT_INLINE __m128i greatest_of_16(keys_i8 rows[16]) {
#define HIGHER(a, b) (__m512i) __builtin_elementwise_max((keys_i8)(a), (keys_i8)(b))
  __m512i x[16];
  for (int i = 0; i < 16; i++) x[i] = (__m512i)rows[i];
  // Every step folds two registers into one that holds both in halves, quarters, ...
  for (int i = 0; i < 8; i++)
    x[i] = HIGHER(_mm512_shuffle_i64x2(x[i], x[i + 8], 0x44), _mm512_shuffle_i64x2(x[i], x[i + 8], 0xEE));
  for (int i = 0; i < 4; i++)
    x[i] = HIGHER(_mm512_shuffle_i64x2(x[i], x[i + 4], 0x88), _mm512_shuffle_i64x2(x[i], x[i + 4], 0xDD));
  for (int i = 0; i < 2; i++)
    x[i] = HIGHER(_mm512_unpacklo_epi64(x[i], x[i + 2]), _mm512_unpackhi_epi64(x[i], x[i + 2]));
  __m512 c = _mm512_castsi512_ps(x[0]), d = _mm512_castsi512_ps(x[1]);
  x[0] = HIGHER(
      _mm512_castps_si512(_mm512_shuffle_ps(c, d, 0x88)), _mm512_castps_si512(_mm512_shuffle_ps(c, d, 0xDD)));
  x[0] = HIGHER(x[0], _mm512_srli_epi32(x[0], 16));
  x[0] = HIGHER(x[0], _mm512_srli_epi32(x[0], 8));
#undef HIGHER
  // Where the folds have put each register's byte.
  const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
  return _mm_shuffle_epi8(_mm512_cvtepi32_epi8(x[0]), order);
}

INGOT_INLINE __m512i magnitude_bytes(__m512i code) { return _mm512_and_si512(code, _mm512_set1_epi8(0x7F)); }

/// The greatest magnitude of each of sixteen groups.
INGOT_INLINE __m128i tops_of_groups(const uint8_t *codes, size_t group) {
  __m512i x[16];
  size_t registers = group < 64 ? group / 4 : 16, step = group < 64 ? 64 : group;
  for (size_t i = 0; i < registers; i++) {
    x[i] = magnitude_bytes(_mm512_loadu_si512(codes + i * step));
    if (group == 128) x[i] = _mm512_max_epu8(x[i], magnitude_bytes(_mm512_loadu_si512(codes + i * step + 64)));
  }
  if (group >= 64) return greatest_of_16((keys_i8 *)x);
  // A quarter of a register is of one group: bytes of registers in turn, so that each fold stays within quarters.
#define FOLD(width, count) \
  _Pragma("clang loop unroll(full)") for (size_t i = 0; i < (count); i++) x[i] = _mm512_max_epu8( \
      _mm512_unpacklo_epi##width(x[2 * i], x[2 * i + 1]), _mm512_unpackhi_epi##width(x[2 * i], x[2 * i + 1]));
  FOLD(8, registers / 2)
  FOLD(16, registers / 4)
  if (group == 32) FOLD(32, 1)
#undef FOLD
  x[0] = _mm512_max_epu8(x[0], _mm512_shuffle_epi32(x[0], _MM_PERM_BADC));
  x[0] = _mm512_max_epu8(
      x[0], group == 32 ? _mm512_shuffle_i64x2(x[0], x[0], 0xB1) : _mm512_shuffle_epi32(x[0], _MM_PERM_CDAB));
  const __m128i sixteens = _mm_setr_epi8(0, 16, 32, 48, 1, 17, 33, 49, 2, 18, 34, 50, 3, 19, 35, 51);
  const __m128i thirty_twos = _mm_setr_epi8(0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39);
  __m128i order = group == 32 ? thirty_twos : sixteens;
  return _mm512_castsi512_si128(_mm512_permutexvar_epi8(_mm512_castsi128_si512(order), x[0]));
}

/// Codes of 64 weights from their signs and the entries of their magnitudes, one a byte as they will be stored; `turned`
/// where signs are, for Q4_0.
INGOT_INLINE __m512i codes_of_entries(
    const ingot_table_job *job, __m512i code, __m512i steps, __m512i zero, __m512i most, __mmask64 turned) {
  __mmask64 negative = _mm512_movepi8_mask(code);
  switch (job->kind) {
    case INGOT_TABLE_AFFINE: {
      __m512i above = _mm512_adds_epu8(zero, steps);
      return _mm512_min_epu8(_mm512_mask_subs_epu8(above, negative, zero, steps), most);
    }
    case INGOT_TABLE_Q8_0: return _mm512_mask_sub_epi8(steps, negative, _mm512_setzero_si512(), steps);
    case INGOT_TABLE_Q4_0: {
      __m512i other = _mm512_srli_epi16(steps, 4);
      return _mm512_and_si512(_mm512_mask_mov_epi8(steps, negative ^ turned, other), _mm512_set1_epi8(15));
    }
    case INGOT_TABLE_MICRO:
      negative = _mm512_mask_test_epi8_mask(negative, steps, steps);
      return _mm512_mask_add_epi8(steps, negative, steps, _mm512_set1_epi8(8));
  }
  __builtin_unreachable();
}

/// Where codes and scales of a row go.
typedef struct {
  uint8_t *codes, *scales;
} table_output;

/// 64 codes from column `at` on, with the scales of their groups.
INGOT_INLINE void put_64(
    const ingot_table_job *job, table_output out, size_t at, __m512i codes, const uint16_t *scales, size_t group,
    bool nibbles) {
  size_t g = at / group;
  switch (job->kind) {
    case INGOT_TABLE_Q8_0: {
      uint8_t *blocks = out.codes + g * 34;
      memcpy(blocks, scales, 2);
      _mm256_storeu_si256((__m256i *)(blocks + 2), _mm512_castsi512_si256(codes));
      memcpy(blocks + 34, scales + 1, 2);
      _mm256_storeu_si256((__m256i *)(blocks + 36), _mm512_extracti64x4_epi64(codes, 1));
      return;
    }
    case INGOT_TABLE_Q4_0: {
      uint8_t *blocks = out.codes + g * 18;
      const __m512i halves = _mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7);
      codes = _mm512_permutexvar_epi64(halves, codes);
      __m256i upper = _mm256_slli_epi16(_mm512_extracti64x4_epi64(codes, 1), 4);
      __m256i both = _mm256_or_si256(_mm512_castsi512_si256(codes), upper);
      memcpy(blocks, scales, 2);
      _mm_storeu_si128((__m128i *)(blocks + 2), _mm256_castsi256_si128(both));
      memcpy(blocks + 18, scales + 1, 2);
      _mm_storeu_si128((__m128i *)(blocks + 20), _mm256_extracti128_si256(both, 1));
      return;
    }
    case INGOT_TABLE_MICRO:
      for (size_t i = 0; i < 64 / group; i++) out.scales[g + i] = (uint8_t)scales[i];
      break;
    case INGOT_TABLE_AFFINE:
      if (at % group == 0) memcpy(out.scales + 2 * g, scales, group < 64 ? 128 / group : 2);
      break;
  }
  put_codes(out.codes, at, (codes_u8)codes, nibbles);
}

INGOT_INLINE ingot_straight rows_by_tables(
    const ingot_table_job *job, const ingot_rows *source, size_t row, block_tables *tables, table_output out,
    size_t group, unsigned bits) {
  size_t columns = source->columns, blocks = (columns + source->block_columns - 1) / source->block_columns;
  const float *block_scales = source->scales + row / source->block_rows * blocks;
  const uint8_t *values = source->values + row * columns;
  __m512i zero = _mm512_set1_epi8((char)(1u << (bits - 1))), most = _mm512_set1_epi8((char)((1u << bits) - 1));
  uint8_t padded[16 * 128], spare[4][128] __attribute__((aligned(64)));
  size_t groups = columns / group, block = 0, end = source->block_columns, together = group < 64 ? 64 / group : 1;
  for (size_t first = 0; first < groups; first += 16) {
    size_t count = groups - first < 16 ? groups - first : 16;
    const uint8_t *from = values + first * group;
    if (count < 16) {
      memset(padded, 0, 16 * group);
      memcpy(padded, from, count * group);
    }
    uint8_t tops[16];
    __m128i top = tops_of_groups(count < 16 ? padded : from, group);
    if (_mm_cmpeq_epi8_mask(top, _mm_set1_epi8(0x7F))) return INGOT_NOT_FINITE;
    _mm_storeu_si128((__m128i *)tops, top);
    for (size_t g = 0; g < count; g += together) {
      size_t at = (first + g) * group;
      if (at >= end) {
        block++;
        end += source->block_columns;
      }
      fetch_ahead(values + at, group < 64 ? 64 : group);
      uint16_t scales[4];
      const uint8_t *entries[4];
      _Pragma("clang loop unroll(full)") for (size_t i = 0; i < together; i++) {
        table_entry entry = table_for(job, tables + block, block_scales[block], tops[g + i], spare[i]);
        entries[i] = entry.table;
        scales[i] = entry.scale;
      }
      for (size_t j = at; j < at + (group < 64 ? 64 : group); j += 64) {
        __m512i code = _mm512_loadu_si512(values + j), size = magnitude_bytes(code), steps = size;
        __mmask64 turned = 0;
        _Pragma("clang loop unroll(full)") for (size_t i = 0; i < together; i++) {
          // The part of the register that is this group's.
          __mmask64 own = together == 1 ? ~(__mmask64)0 : ((1ull << group % 64) - 1) << i * group % 64;
          steps = _mm512_mask2_permutex2var_epi8(
              _mm512_load_si512(entries[i]), steps, own, _mm512_load_si512(entries[i] + 64));
          if (job->kind != INGOT_TABLE_Q4_0) continue;
          // The sign of the first extreme.
          __mmask64 equal = own & _mm512_cmpeq_epi8_mask(size, _mm512_set1_epi8((char)tops[g + i]));
          bool negative = (_mm512_movepi8_mask(code) & equal & (0 - equal)) && tops[g + i] > 0;
          turned |= negative ? own : 0;
          scales[i] ^= negative ? 0x8000 : 0;
        }
        put_64(job, out, j, codes_of_entries(job, code, steps, zero, most, turned), scales, group, bits == 4);
      }
    }
  }
  return INGOT_DONE;
}

ingot_straight BODY(ingot_fp8_tables)(
    const ingot_table_job *job, const ingot_rows *source, size_t row, void *tables, uint8_t *codes, uint8_t *scales) {
  size_t blocks = (source->columns + source->block_columns - 1) / source->block_columns;
  if (job->fresh)
    for (size_t i = 0; i < blocks; i++) ((block_tables *)tables)[i].known = 0;
  // Each kind, and the common groups and widths, compiled for themselves.
#define ROWS(k, g, b) \
  { \
    ingot_table_job own = *job; \
    own.kind = k; \
    return rows_by_tables(&own, source, row, tables, (table_output){codes, scales}, g, b); \
  }
  switch (job->kind) {
    case INGOT_TABLE_Q8_0: ROWS(INGOT_TABLE_Q8_0, 32, 8)
    case INGOT_TABLE_Q4_0: ROWS(INGOT_TABLE_Q4_0, 32, 4)
    case INGOT_TABLE_MICRO:
      if (job->group == 16) ROWS(INGOT_TABLE_MICRO, 16, 4)
      ROWS(INGOT_TABLE_MICRO, 32, 4)
    case INGOT_TABLE_AFFINE: break;
  }
  bool nibbles = job->bits == 4;
  switch (job->group) {
    case 32:
      if (nibbles) ROWS(INGOT_TABLE_AFFINE, 32, 4)
      ROWS(INGOT_TABLE_AFFINE, 32, job->bits)
    case 64:
      if (nibbles) ROWS(INGOT_TABLE_AFFINE, 64, 4)
      ROWS(INGOT_TABLE_AFFINE, 64, job->bits)
    default:
      if (nibbles) ROWS(INGOT_TABLE_AFFINE, 128, 4)
      ROWS(INGOT_TABLE_AFFINE, 128, job->bits)
  }
#undef ROWS
}

#endif
#endif
