// How a body is chosen: each kernel has a scalar reference, and a body in clang's vector types that is
// compiled once for each instruction set (vector/avx2.c, vector/avx512.c, vector/neon.c).
#ifndef INGOT_ISA_H
#define INGOT_ISA_H

#include "ckernels.h"

#if defined(__x86_64__)
#define INGOT_X86 1
#elif defined(__aarch64__)
#define INGOT_ARM64 1
#endif

#define INGOT_INLINE static inline __attribute__((always_inline))

/// What came of a row that goes straight from its stored form to codes: `INGOT_NOT_PLAIN` where its values leave the
/// range for which that is written, so that it has to be decoded and quantized.
typedef enum { INGOT_NOT_FINITE, INGOT_DONE, INGOT_NOT_PLAIN } ingot_straight;

/// Where a row's codes and parameters go: codes one a byte, but two when they have 4 bits; zero points one a byte.
typedef struct {
  uint8_t *codes, *scales, *biases, *zeros;
} ingot_affine_planes;

struct ingot_coded_panel;
struct ingot_coded_sums;
struct ingot_corner;
struct ingot_direct;
struct ingot_rounded_sums;
struct ingot_rounding;
struct ingot_strip;
struct ingot_turned;

#define INGOT_VECTOR_BODIES(suffix) \
  ingot_straight ingot_affine_row_##suffix( \
      const ingot_rows *, const ingot_quantize_job *, size_t row, const ingot_affine_planes *); \
  ingot_straight ingot_ggml_row_##suffix(ingot_ggml, const ingot_rows *, size_t row, uint8_t *blocks); \
  ingot_straight ingot_micro_row_##suffix( \
      const ingot_micro_job *, const ingot_rows *, size_t row, uint8_t *codes, uint8_t *scales); \
  void ingot_decode_##suffix(ingot_float, const void *, float *, size_t); \
  void ingot_decode_block_scaled_##suffix( \
      ingot_float, const void *, const float *, size_t, float *, size_t); \
  void ingot_encode_##suffix(ingot_float, const float *, void *, size_t); \
  size_t ingot_first_non_finite_##suffix(const float *, size_t); \
  void ingot_pack_##suffix(unsigned, const uint8_t *, void *, size_t); \
  void ingot_unpack_##suffix(unsigned, const void *, uint8_t *, size_t); \
  void ingot_decode_columns_##suffix(const ingot_affine_row *, const uint8_t *, size_t, size_t); \
  void ingot_round_to_nearest_##suffix(const ingot_quantize_job *); \
  void ingot_search_##suffix(const ingot_quantize_job *); \
  void ingot_mlx_##suffix(const ingot_quantize_job *); \
  void ingot_decode_e2m1_columns_##suffix( \
      const uint8_t *, const float *, size_t, float *, size_t, size_t); \
  void ingot_quantize_micro_##suffix(const ingot_micro_job *); \
  void ingot_decode_ggml_##suffix(ingot_ggml, const uint8_t *, float *, size_t); \
  void ingot_ggml_nearest_##suffix(const ingot_ggml_job *); \
  void ingot_ggml_search_##suffix(const ingot_ggml_job *); \
  void ingot_lattice_search_##suffix(const ingot_ggml_job *); \
  void ingot_gptq_columns_##suffix( \
      const ingot_grid *, const uint32_t *, size_t, float *, const float *, size_t, float *, float *); \
  void ingot_descend_##suffix(const ingot_grid *, size_t, const float *, float *, float *); \
  void ingot_search_part_##suffix( \
      const ingot_grid *, size_t, const ingot_grid_move *, size_t, const float *, const uint32_t *, const float *, \
      float *, float *); \
  void ingot_lattice_columns_##suffix( \
      const ingot_grid *, const uint32_t *, size_t, float *, const float *, size_t, float *, float *); \
  void ingot_lattice_part_##suffix( \
      const ingot_grid *, size_t, const ingot_grid_move *, size_t, const float *, const uint32_t *, const float *, \
      float *, float *); \
  void ingot_coded_panel_##suffix(const struct ingot_coded_panel *); \
  void ingot_coded_sums_##suffix(const struct ingot_coded_sums *); \
  void ingot_corner_##suffix(const struct ingot_corner *); \
  void ingot_direct_##suffix(const struct ingot_direct *); \
  void ingot_strip_##suffix(const struct ingot_strip *); \
  void ingot_turned_##suffix(const struct ingot_turned *); \
  void ingot_decode_trellis_##suffix( \
      const ingot_trellis *, const void *, size_t, size_t, const float *, const float *, float *); \
  void ingot_trellis_forward_##suffix( \
      const ingot_trellis *, const int16_t *, const int16_t *, size_t, size_t, uint16_t *); \
  void ingot_decode_tiles_##suffix( \
      const ingot_tiles *, const void *, size_t, size_t, const float *, const float *, float *, float *); \
  void ingot_tile_forward_##suffix(unsigned, const int16_t *, const int16_t *, size_t, size_t, uint16_t *); \
  double ingot_squared_error_##suffix(const float *, const float *, const float *, size_t); \
  void ingot_xxh3_blocks_##suffix(uint64_t *, const uint8_t *, size_t);

/// Bodies of rounded_product.c, of which processors have more.
#define INGOT_ROUNDED_BODIES(suffix) \
  void ingot_round_x_##suffix(const struct ingot_rounding *); \
  void ingot_rounded_sums_##suffix(const struct ingot_rounded_sums *);

INGOT_VECTOR_BODIES(scalar)
INGOT_ROUNDED_BODIES(scalar)

#if defined(INGOT_X86)
/// Codes with a sign that follow from the greatest magnitude of a group, see vector/fp8_tables.h.
typedef struct {
  enum { INGOT_TABLE_AFFINE, INGOT_TABLE_Q8_0, INGOT_TABLE_Q4_0, INGOT_TABLE_MICRO } kind;
  unsigned bits;         // affine
  ingot_float storage;   // affine: F16 or BF16
  const ingot_micro_job *micro;
  size_t group;
  bool fresh;  // the row's blocks are others than those of the row before
} ingot_table_job;

/// Bytes of scratch for each block of columns.
#define INGOT_BLOCK_TABLES (64 * 131)

/// A row; affine codes one a byte, but two when they have 4 bits.
ingot_straight ingot_fp8_tables_avx512(
    const ingot_table_job *, const ingot_rows *, size_t row, void *tables, uint8_t *codes, uint8_t *scales);
#endif

/// Calls name_scalar, name_avx2, … as `isa` says; the Swift face has checked that the processor has it.
#if defined(INGOT_X86)
INGOT_VECTOR_BODIES(avx2)
INGOT_VECTOR_BODIES(avx512)
INGOT_ROUNDED_BODIES(avx2)
INGOT_ROUNDED_BODIES(avx512_vnni)
#define INGOT_DISPATCH(isa, name, ...) \
  ((isa) == INGOT_AVX512 ? name##_avx512(__VA_ARGS__) \
   : (isa) == INGOT_AVX2 ? name##_avx2(__VA_ARGS__) \
                         : name##_scalar(__VA_ARGS__))
/// The same of bodies without a scalar reference, whose results are those of decoding and quantizing.
#define INGOT_STRAIGHT(isa, name, ...) ((isa) == INGOT_AVX512 ? name##_avx512(__VA_ARGS__) : name##_avx2(__VA_ARGS__))
#elif defined(INGOT_ARM64)
INGOT_VECTOR_BODIES(neon)
INGOT_ROUNDED_BODIES(neon)
INGOT_ROUNDED_BODIES(neon_dot)
#define INGOT_STRAIGHT(isa, name, ...) name##_neon(__VA_ARGS__)
#define INGOT_DISPATCH(isa, name, ...) \
  ((isa) == INGOT_NEON ? name##_neon(__VA_ARGS__) : name##_scalar(__VA_ARGS__))
#else
#define INGOT_STRAIGHT(isa, name, ...) INGOT_NOT_PLAIN
#define INGOT_DISPATCH(isa, name, ...) name##_scalar(__VA_ARGS__)
#endif

#endif
