// The C side of Kernels: bodies that need vector instructions or exact control of float arithmetic.
// Sizes are checked by the Swift face; every pointer may be unaligned unless its type says otherwise,
// and may be null where the count that goes with it is 0.
#ifndef INGOT_CKERNELS_H
#define INGOT_CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- instruction sets --------------------------------------------------------------------------------

typedef enum {
  INGOT_SCALAR = 0,
  INGOT_AVX2 = 1,    // AVX2, F16C, BMI2
  INGOT_AVX512 = 2,  // F, BW, DQ, VL, VBMI
  INGOT_NEON = 3,
} ingot_isa;

bool ingot_isa_supported(ingot_isa isa);
/// The fastest supported set, lowered to the one named by INGOT_ISA in the environment.
ingot_isa ingot_isa_best(void);

// ---- floats ------------------------------------------------------------------------------------------

typedef enum {
  INGOT_F32 = 0,
  INGOT_F16 = 1,
  INGOT_BF16 = 2,
  INGOT_F8E4M3 = 3,  // OCP "fn": no infinities, 0x7F and 0xFF are NaN
  INGOT_F8E5M2 = 4,
} ingot_float;

void ingot_decode(ingot_isa isa, ingot_float format, const void *source, float *out, size_t count);
/// out[j] = float(source[j]) * scales[j / block], 8-bit formats only.
void ingot_decode_block_scaled(
    ingot_isa isa, ingot_float format, const void *source, const float *scales, size_t block, float *out,
    size_t count);
/// F32, F16 or BF16; round to nearest even, overflow to infinity, NaN to quiet NaN.
void ingot_encode(ingot_isa isa, ingot_float format, const float *source, void *out, size_t count);
/// Index of the first NaN or infinity, or `count`.
size_t ingot_first_non_finite(ingot_isa isa, const float *values, size_t count);
/// Least and greatest magnitude, as bits without sign, of `count` floats of `width` bytes, 1 or 2, that are `stride` bytes
/// apart; floats of one byte are neighbours. Of none: all ones, and 0.
void ingot_scale_extremes(
    uint32_t width, const void *scales, size_t count, size_t stride, uint16_t *least, uint16_t *greatest);

/// target (columns, rows) = source (rows, columns) transposed; elements of `width` bytes: 1, 2, 4 or 8.
void ingot_transpose(uint32_t width, const void *source, void *target, size_t rows, size_t columns);

// ---- codes -------------------------------------------------------------------------------------------

/// One LSB-first bit stream of `count` codes of `bits` (1…8) bits: (count * bits + 7) / 8 bytes.
void ingot_pack(ingot_isa isa, unsigned bits, const uint8_t *codes, void *packed, size_t count);
void ingot_unpack(ingot_isa isa, unsigned bits, const void *packed, uint8_t *codes, size_t count);

/// One row of affine codes: out[j] = scales[g] * (code[j] - zero), g = j / group, zero being zeros[g] or
/// `zero`; with biases, scales[g] * code[j] + biases[g], product and sum each rounded.
typedef struct {
  const uint8_t *packed;  // as ingot_pack writes it; with 8 bits one code per byte
  unsigned bits;
  size_t count, group;
  const float *scales, *biases;  // biases or null
  const uint8_t *zeros;          // or null
  int zero;
  float *out;
} ingot_affine_row;

void ingot_decode_affine(ingot_isa isa, const ingot_affine_row *row);

// ---- quantizing --------------------------------------------------------------------------------------

typedef enum { INGOT_SYMMETRIC = 0, INGOT_ZERO_POINT = 1, INGOT_BIAS = 2 } ingot_scheme;

typedef struct {
  const float *weights;     // (rows, columns)
  const float *importance;  // (columns) or null
  size_t rows, columns, group;
  unsigned bits;  // 2…8
  ingot_scheme scheme;
  ingot_float storage;  // F32, F16 or BF16: type of scales and biases
  bool search;
  // The bias scheme as MLX fills it: the edge of larger magnitude is met exactly, 0 by a code. Codes are chosen with
  // scale and bias before these are rounded to storage. As stored rows, weights are rounded to BF16 before.
  bool mlx;
  uint8_t *codes;   // (rows, columns)
  uint8_t *scales;  // (rows, groups) of storage
  uint8_t *zeros;   // (rows, groups), zero point scheme only
  uint8_t *biases;  // (rows, groups) of storage, bias scheme only
} ingot_quantize_job;

void ingot_quantize(ingot_isa isa, const ingot_quantize_job *job);

/// Sum of h (a - b)², each term and sum in F64, in 16 interleaved lanes and then a tree.
double ingot_squared_error(ingot_isa isa, const float *a, const float *b, const float *h, size_t count);

// ---- micro-scaled codes ------------------------------------------------------------------------------

/// One row of E2M1 codes, two a byte, the first in the low nibble: out[j] = value(code[j]) * scales[j / group].
void ingot_decode_e2m1(
    ingot_isa isa, const uint8_t *packed, const float *scales, size_t group, float *out, size_t count);

typedef struct {
  const float *weights;     // (rows, columns)
  const float *importance;  // (columns) or null
  size_t rows, columns, group;
  bool wide;     // codes are E4M3, else E2M1
  bool powers;   // scales are E8M0, else E4M3
  bool search;
  float global;     // what E4M3 scales are divided by; 1 for nothing
  uint8_t *codes;   // (rows, columns), one per byte
  uint8_t *scales;  // (rows, groups)
} ingot_micro_job;

void ingot_quantize_micro(ingot_isa isa, const ingot_micro_job *job);
// ---- GGML block types --------------------------------------------------------------------------------

/// Numbers as GGUF files have them. Types that are read only have numbers beside these, see ggml_lattice.h.
typedef enum {
  INGOT_Q4_0 = 2,
  INGOT_Q4_1 = 3,
  INGOT_Q5_0 = 6,
  INGOT_Q5_1 = 7,
  INGOT_Q8_0 = 8,
  INGOT_Q2_K = 10,
  INGOT_Q3_K = 11,
  INGOT_Q4_K = 12,
  INGOT_Q5_K = 13,
  INGOT_Q6_K = 14,
  INGOT_IQ4_NL = 20,
  INGOT_IQ4_XS = 23,
  INGOT_MXFP4 = 39,
} ingot_ggml;

/// Weights and bytes of a block; false when the number is none of the types.
bool ingot_ggml_shape(int type, size_t *weights, size_t *bytes);
void ingot_decode_ggml(ingot_isa isa, ingot_ggml type, const void *blocks, float *out, size_t count);

typedef struct {
  ingot_ggml type;
  const float *weights;     // (rows, columns)
  const float *importance;  // (columns) or null
  size_t rows, columns;     // columns divide by the weights of a block
  bool search;
  uint8_t *blocks;
} ingot_ggml_job;

void ingot_quantize_ggml(ingot_isa isa, const ingot_ggml_job *job);

/// What an ingot_grid has to know of a type; see there.
typedef struct {
  size_t part, super;
  float low, high;
  const int8_t *table;
  int entries;
  bool has_minima, fixed;
  float least, most, minima_least;
  bool lattice, has_zeros;
} ingot_ggml_grid;

ingot_ggml_grid ingot_ggml_grid_of(ingot_ggml type);
/// Scales and multiples of rows of blocks, as an ingot_grid holds them: (supers, stride) and (parts, stride). What is
/// null is left out.
void ingot_ggml_take_apart(
    ingot_ggml type, const uint8_t *blocks, size_t rows, size_t columns, size_t stride, float *d, float *m,
    float *scales, float *minima, float *zeros);
/// Rows of blocks from these and values (columns, stride) of the codes.
void ingot_ggml_put_together(
    ingot_ggml type, size_t rows, size_t columns, size_t stride, const float *d, const float *m,
    const float *scales, const float *minima, const float *zeros, const float *values, uint8_t *blocks);

// ---- codes by what they do to a layer's outputs ---------------------------------------------------------

/// Where codes may lie: a value v of a code stands for d·scale·(v - zero) + m·minimum. Arrays are (supers, rows) or
/// (parts, rows), one row in each lane of a vector.
typedef struct {
  size_t rows, columns;     // rows a multiple of 16
  size_t part, super;       // columns that share a scale, and those that share d and m (at most 256)
  float *d, *m;             // (supers, rows); m or null
  float *scales, *minima;   // (parts, rows): multiples of d and m, or null for ones
  float *zeros;             // (parts, rows), or null
  float low, high;          // values are the integers of this range, or
  const int8_t *table;      // `entries` rising ones
  int entries;
  ingot_float storage;      // of d and m
  bool fixed;               // d and m stay as they are
  float least, most;        // of multiples of d; equal when there are none
  float minima_least;       // of multiples of m, which go up to 0
  int lattice;              // a ggml type whose values are those of points of eight columns; 0 for none
} ingot_grid;

/// GPTQ for at most 64 columns, `order` naming them: weights (count, rows) are what is left to be expressed, of which
/// later ones of these columns lose what a rounding cost (whether in this place is left open); factor[k * stride + j] = U_jk, H⁻¹ = UᵀU. Gives values
/// (columns, rows) and errors (count, rows), by which the columns after these are to be updated.
void ingot_gptq_columns(
    ingot_isa isa, const ingot_grid *grid, const uint32_t *order, size_t count, float *weights,
    const float *factor, size_t stride, float *values, float *errors);

/// One pass over the columns that share d and m: refits d and m, then multiples, then each code, each time to the
/// least (w - ŵ)H(w - ŵ)ᵀ. `gradient` (super, rows) is H(w - ŵ) transposed for these columns alone, kept up to date.
void ingot_descend(
    ingot_isa isa, const ingot_grid *grid, size_t index, const float *hessian, float *gradient, float *values);

/// How a part's grid may be moved: d times `step` where it has no multiples (m moving so that the middle of the values
/// stays), and so much added to its zero, its multiple of d and its multiple of m.
typedef struct {
  float step, zero, scale, minimum;
} ingot_grid_move;

/// Codes for the columns of one part, as a block, on its grid and on each of `count` neighbours of it, by GPTQ within the
/// block; the grid and codes of the least error stay, the present ones when nothing is better. `targets` (width, rows)
/// are the weights that would be best here, the other columns staying as they are; order and factor (width, width) are of
/// the block, as for ingot_gptq_columns. `changes` (width, rows) says by how much ŵ changed.
void ingot_search_part(
    ingot_isa isa, const ingot_grid *grid, size_t index, const ingot_grid_move *moves, size_t count,
    const float *targets, const uint32_t *order, const float *factor, float *values, float *changes);

// ---- rows as they are stored -------------------------------------------------------------------------

typedef struct {
  ingot_float format;
  const uint8_t *values;  // (rows, columns)
  const float *scales;    // one for each block_rows × block_columns of 8-bit values, rows of blocks one after the
                          // other; or null
  size_t block_rows, block_columns;
  size_t rows, columns;
} ingot_rows;

/// Rows that the functions below decode at once.
size_t ingot_tile_rows(size_t columns);
/// Bytes that `tile` points to, a multiple of 8; aligned to 64.
size_t ingot_tile_bytes(size_t columns);
void ingot_decode_rows(ingot_isa isa, const ingot_rows *source, size_t first, size_t count, float *out);

// Each of these quantizes all rows and gives how many values were finite before the first that was not: all, or the
// result is to be thrown away. A job's weights, rows and columns are those of the source.

/// Codes and `zeros` are bit streams, each row ending on a byte. `codes` is scratch: two bytes a value of the tile.
size_t ingot_quantize_rows(
    ingot_isa isa, const ingot_rows *source, const ingot_quantize_job *job, uint8_t *zeros, float *tile,
    uint8_t *codes);
/// Codes are a bit stream, each row ending on a byte. `codes` is scratch: a byte a value of the tile.
size_t ingot_quantize_rows_micro(
    ingot_isa isa, const ingot_rows *source, const ingot_micro_job *job, float *tile, uint8_t *codes);
size_t ingot_quantize_rows_ggml(
    ingot_isa isa, const ingot_rows *source, const ingot_ggml_job *job, float *tile);
/// F32, F16 or BF16.
size_t ingot_encode_rows(
    ingot_isa isa, const ingot_rows *source, ingot_float format, void *out, float *tile);

/// y (tokens, rows) = x (tokens, columns) · wᵀ, w being the rows, without NaN among them being looked for: as ingot_multiply
/// of the decoded rows, bit for bit.
void ingot_multiply_rows(
    ingot_isa isa, const ingot_rows *source, const float *x, size_t tokens, float *y, float *scratch);
/// Floats of scratch that it takes.
size_t ingot_multiply_rows_floats(ingot_isa isa, const ingot_rows *source, size_t tokens);

// ---- trellis codes -----------------------------------------------------------------------------------

/// How the rows of a column are coded as a path through states; see trellis.h in the sources.
typedef struct {
  unsigned halves;  // bits a weight, in halves: 3…8
  unsigned window;  // bits of a state: 8…16
  size_t ring;      // rows of a path, which closes on itself: a multiple of 64, up to 4096
} ingot_trellis;

bool ingot_trellis_is_valid(const ingot_trellis *trellis);

/// Decodes rows. `codes` (rows / 64 rounded up · halves, columns), 32-bit little endian; `row_scales` (rows),
/// `column_scales` (columns); `out` (rows, columns) = value · row scale · column scale.
void ingot_decode_trellis(
    ingot_isa isa, const ingot_trellis *trellis, const void *codes, size_t rows, size_t columns,
    const float *row_scales, const float *column_scales, float *out);

/// Targets and values are this many times as large while a path is searched, so that they fill 16 bits.
enum { INGOT_TRELLIS_UNIT = 64 };
/// What the search needs to know of the states' values, so many times as large: (2^window).
void ingot_trellis_book(unsigned window, int16_t *book);
size_t ingot_trellis_scratch(const ingot_trellis *trellis);

typedef struct {
  ingot_trellis trellis;
  const int16_t *book;
  size_t rows, columns;
  const float *row_scales, *inverses;  // (rows), and 1 / each, or 0
  const float *column_scales;          // (columns)
  uint8_t *codes;                      // as they are decoded
} ingot_trellis_job;

/// Codes `count` columns one after the other; what each leaves is made up for by those after it.
///
/// `weights` (count, rows) in `order`; `factor` as in ingot_gptq_columns, or null where columns do not know of each
/// other. `values` (columns, rows) gets the states' values, `errors` (count, rows) what is left, over the factor's own.
void ingot_trellis_columns(
    ingot_isa isa, const ingot_trellis_job *job, const uint32_t *order, size_t count, float *weights,
    const float *factor, size_t stride, float *values, float *errors, void *scratch);

/// The best path for a ring of targets, INGOT_TRELLIS_UNIT times values; states with the latest bit in bit 0.
void ingot_trellis_ring(
    ingot_isa isa, const ingot_trellis *trellis, const int16_t *book, const int16_t *targets, uint16_t *states,
    void *scratch);
/// The words of a ring's states, `stride` words apart.
void ingot_trellis_pack(const ingot_trellis *trellis, const uint16_t *states, void *words, size_t stride);

// ---- tiles of trellis codes --------------------------------------------------------------------------

/// How a state of 16 bits becomes a value.
typedef enum { INGOT_TILES_3INST = 0, INGOT_TILES_MCG = 1, INGOT_TILES_MUL1 = 2 } ingot_tile_codebook;

/// Tiles of 16 inputs and 16 outputs, each a ring of weights of so many bits; see tiles.h in the sources.
typedef struct {
  unsigned bits;  // 1…8
  ingot_tile_codebook codebook;
} ingot_tiles;

bool ingot_tiles_are_valid(const ingot_tiles *tiles);

/// Decodes a matrix. `codes` (columns / 16, rows / 16, 32 · bits bytes), `input_scales` (columns), `output_scales` (rows), with
/// rows and columns rounded up to 128; `out` (rows, columns). Of every block of 128 × 128 values: sums and differences of
/// the pairs 1, 2, 4, … 64 inputs apart, then of the pairs as many outputs apart, over 128, times the input's scale, times the
/// output's, each rounded to F32. `scratch`: as many bytes as ingot_decode_tiles_scratch says.
void ingot_decode_tiles(
    ingot_isa isa, const ingot_tiles *tiles, const void *codes, size_t rows, size_t columns,
    const float *input_scales, const float *output_scales, float *out, float *scratch);
size_t ingot_decode_tiles_scratch(void);

/// A matrix (inputs, outputs), both multiples of 128, in runs of 128 inputs or outputs times a Hadamard matrix of Sylvester's
/// construction over √128; it is its own inverse.
void ingot_tiles_transform(float *matrix, size_t inputs, size_t outputs, bool along_inputs);

/// Values are this many times as large while a path is searched, so that they fill 16 bits.
#define INGOT_TILES_UNIT 9457.0f
/// The values of the states, so many times as large: (65536).
void ingot_tiles_book(ingot_tile_codebook codebook, int16_t *book);
size_t ingot_tiles_scratch(const ingot_tiles *tiles);

/// Codes the tiles of 16 inputs: `weights` (16, outputs), in which every output's values are next to the states' values. `values`
/// (16, outputs) gets these, `codes` the tiles. `outputs` is a multiple of 16.
void ingot_tiles_strip(
    ingot_isa isa, const ingot_tiles *tiles, const int16_t *book, const float *weights, size_t outputs, float *values,
    void *codes, void *scratch);

// ---- hashes ------------------------------------------------------------------------------------------

typedef struct {
  uint64_t lanes[8];
  uint8_t buffer[1024];  // what is not accumulated yet; its last 64 bytes are those before it after a flush
  uint64_t total;
  uint32_t buffered;
} ingot_xxh3;

void ingot_xxh3_init(ingot_xxh3 *state);
void ingot_xxh3_update(ingot_isa isa, ingot_xxh3 *state, const void *bytes, size_t count);
uint64_t ingot_xxh3_digest(const ingot_xxh3 *state);
uint64_t ingot_xxh3_hash(ingot_isa isa, const void *bytes, size_t count);

typedef struct {
  uint32_t words[8];
  uint8_t buffer[64];
  uint64_t total;
} ingot_sha256;

void ingot_sha256_init(ingot_sha256 *state);
/// Whether the processor has instructions for SHA-256. Asking takes a microsecond under a hypervisor.
bool ingot_sha256_accelerated(void);
/// `accelerated`: use them.
void ingot_sha256_update(ingot_sha256 *state, const void *bytes, size_t count, bool accelerated);
void ingot_sha256_digest(const ingot_sha256 *state, uint8_t digest[32]);

// ---- forward pass ------------------------------------------------------------------------------------

/// out[j] = x[j] / sqrt(mean(x²) + eps) * weight[j]; the mean in F64.
void ingot_rms_norm(const float *x, const float *weight, float eps, float *out, size_t count);
/// gate[j] = gate[j] / (1 + exp(-gate[j])) * up[j]
void ingot_silu_multiply(float *gate, const float *up, size_t count);
/// A token of the gated delta rule, state (keys, values): state *= decay; state += k (beta (v - stateᵀ k))ᵀ; out = stateᵀ q.
/// `scratch`: (values).
void ingot_delta_rule(
    float *state, const float *q, const float *k, const float *v, float decay, float beta, float *out, float *scratch,
    size_t keys, size_t values);
/// A token of linear attention with decay: state *= decay; state += k vᵀ; out = stateᵀ q.
void ingot_linear_attention(
    float *state, const float *q, const float *k, const float *v, float decay, float *out, size_t keys, size_t values);
/// In place; the sum in F64.
void ingot_softmax(float *row, size_t count);
/// y[j] += s * x[j]
void ingot_add_scaled(float *y, const float *x, float s, size_t count);
/// Products and sum in F64, 16 lanes.
double ingot_dot(const float *a, const float *b, size_t count);

// ---- matrix products ------------------------------------------------------------------------------

/// Terms of a product's sums that are added in one chain.
enum { INGOT_PRODUCT_DEPTH = 256 };
/// Decodes `rows` rows of b from row `row` on, `columns` terms from `column` on, to (rows, INGOT_PRODUCT_DEPTH).
typedef void (*ingot_fill)(
    const void *source, size_t row, size_t rows, size_t column, size_t columns, float *out);
/// c (m, n) = alpha · a · b + beta · c; product.c says in which order. With `beta` 0 the contents of c are not read.
typedef struct {
  size_t m, n, k;
  const float *a;  // (m, k), or (k, m) when turned
  size_t lda;
  bool a_turned;
  const void *b;  // F32 (n, k), or (k, n) when turned; with `fill` null, or (n, k) of values of `width` bytes that it reads
  size_t ldb;
  bool b_turned;
  ingot_fill fill;  // null for F32
  ingot_fill fill_panel;  // instead of `fill`: to (columns, 16), a row in each lane
  const void *source;
  size_t width;
  float alpha, beta;
  float *c;
  size_t ldc;
  bool lower;  // c (m, m) is made on the diagonal and below it only
} ingot_product;
/// Floats of scratch that ingot_multiply takes; aligned to 64 bytes it is fastest.
size_t ingot_product_floats(ingot_isa isa, const ingot_product *product);
/// No product takes more.
size_t ingot_product_most_floats(void);
void ingot_multiply(ingot_isa isa, const ingot_product *product, float *scratch);
/// Types of codes that are no blocks: in planes, and floats of E4M3, BF16 or F16.
enum { INGOT_PLANES = -1, INGOT_FLOATS = -2 };
/// Rows of codes as products read them: blocks of a GGML type; planes, of which w = scale · (code - zero) or
/// scale · code + bias, product and sum each rounded; or floats, w = scale · float, or the float.
typedef struct {
  int type;
  const uint8_t *codes;  // blocks, or bit streams, each row from a byte on
  size_t rows, columns;
  // Of planes:
  unsigned bits;        // 1…8
  size_t group;         // columns that share parameters: a multiple of 16, or all
  ingot_float storage;  // F32, F16 or BF16: type of scales and biases
  const uint8_t *scales, *biases;  // (rows, groups); biases or null
  const uint8_t *zeros;            // (rows, groups) packed like codes, or null
  int zero;                        // of all codes, without these and biases
  bool doubled_e2m1;               // w = scale · twice the value of E2M1
  // Of floats: their type in `storage`; `scales` null, or F32 of blocks of `group` columns and so many rows.
  size_t group_rows;
} ingot_coded;

/// y (tokens, rows) = x (tokens, columns) · wᵀ, as ingot_multiply of the decoded rows, bit for bit.
void ingot_multiply_coded(
    ingot_isa isa, const ingot_coded *source, const float *x, size_t tokens, float *y, float *scratch);
/// Floats of scratch that it takes.
size_t ingot_multiply_coded_floats(ingot_isa isa, const ingot_coded *source, size_t tokens);

/// The same with activations rounded to 8 bits, 32 columns with a step, as rounded.h in the sources defines it.
void ingot_multiply_rounded(
    ingot_isa isa, const ingot_coded *source, const float *x, size_t tokens, float *y, float *scratch);
/// Floats of scratch that it takes.
size_t ingot_multiply_rounded_floats(const ingot_coded *source, size_t tokens);
/// Whether it takes such codes: no floats and no points of lattices, in whole blocks of 32 columns.
bool ingot_multiplies_rounded(const ingot_coded *source);

/// Floats of scratch that ingot_invert_cholesky takes.
size_t ingot_factor_floats(size_t n);
/// L⁻¹ in place of A = LLᵀ (n, n), of which the diagonal and the lower triangle are read; zeros above. False where
/// there is no such L: a square root would not be of a positive number.
bool ingot_invert_cholesky(ingot_isa isa, size_t n, float *a, float *scratch);

/// c (m, n) = alpha * a (m, k) · b + beta * c, b (n, k) when transposed else (k, n); plain loops, F64 sums.
void ingot_gemm_reference(
    size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b, size_t ldb,
    bool transposed, float beta, float *c, size_t ldc);

#endif
