// Times kernels on one thread and prints one JSON object. scripts/tools bench makes a report of it.
//
// usage: ingot-bench [ROUNDS [KERNEL]]
//
// KERNEL is the beginning of a name in the table below, or "products"; without it all are timed, and the products.
//
// In every round each kernel and what it is held against take turns, over tensors enough that none is in a cache when
// its turn comes.
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckernels.h"
#include "machine.h"
#include "products.h"

/// A projection of an expert of MiniMax-M2.
enum { ROWS = 1536, COLUMNS = 3072, WEIGHTS = ROWS * COLUMNS, TENSORS = 16, SLOW_ROWS = 32 };

static uint8_t *fp8[TENSORS], *bf16[TENSORS], *target, *scratch;
static float *tile, scales[12 * 24];
static int rounds = 5;

typedef struct {
  const char *name;
  enum { AFFINE, GGML, MICRO, CAST, DECODE, TRELLIS } kind;
  int bits, group, scheme, type;  // type: of GGML; for MICRO 1 for E8M0 scales; bits: for TRELLIS in halves
  bool search, from_bf16, mlx;
  double bytes;  // that come out for a weight
} kernel;

static uint8_t e4m3(double value) {
  double magnitude = fabs(value);
  int sign = value < 0 ? 0x80 : 0, exponent;
  if (magnitude > 448) magnitude = 448;
  if (magnitude < 0x1p-6) return (uint8_t)((int)rint(magnitude * 512) | sign);
  double mantissa = frexp(magnitude, &exponent);
  return (uint8_t)((((exponent + 6) << 3) + (int)rint(mantissa * 16) - 8) | sign);
}

/// Normal weights whose 4.2 deviations are FP8's greatest value, as blocks of 16,384 have them.
static void make_weights(void) {
  for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) scales[i] = (float)(0.0002 * (1 + uniform()));
  for (int t = 0; t < TENSORS; t++) {
    fp8[t] = aligned_alloc(4096, WEIGHTS);
    bf16[t] = aligned_alloc(4096, 2 * WEIGHTS);
  }
  for (size_t j = 0; j < WEIGHTS; j++) {
    double normal = sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
    fp8[0][j] = e4m3(normal * 448 / 4.2);
    float weight = (float)(normal * 0.02);
    memcpy(bf16[0] + 2 * j, (uint8_t *)&weight + 2, 2);
  }
  for (int t = 1; t < TENSORS; t++) {
    size_t turn = (size_t)t * 7 * COLUMNS;
    memcpy(fp8[t], fp8[0] + turn, WEIGHTS - turn);
    memcpy(fp8[t] + WEIGHTS - turn, fp8[0], turn);
    memcpy(bf16[t], bf16[0] + 2 * turn, 2 * (WEIGHTS - turn));
    memcpy(bf16[t] + 2 * (WEIGHTS - turn), bf16[0], 2 * turn);
  }
}

static ingot_rows source_of(const kernel *k, int tensor, size_t rows) {
  ingot_rows source = {INGOT_F8E4M3, fp8[tensor], scales, 128, 128, rows, COLUMNS};
  if (k->from_bf16) {
    source.format = INGOT_BF16;
    source.values = bf16[tensor];
    source.scales = NULL;
  }
  return source;
}

static void quantize(const kernel *k, int tensor, size_t rows, uint8_t *out, ingot_isa isa) {
  ingot_rows source = source_of(k, tensor, rows);
  size_t count = rows * COLUMNS;
  switch (k->kind) {
    case AFFINE: {
      size_t codes = count * (size_t)k->bits / 8, each = count / (size_t)k->group * 2;
      ingot_quantize_job job = {0};
      job.bits = (unsigned)k->bits;
      job.group = (size_t)k->group;
      job.scheme = (ingot_scheme)k->scheme;
      job.storage = INGOT_F16;
      job.search = k->search;
      job.mlx = k->mlx;
      job.codes = out;
      job.scales = out + codes;
      if (k->scheme == INGOT_BIAS) job.biases = out + codes + each;
      ingot_quantize_rows(isa, &source, &job, out + codes + each, tile, scratch);
      return;
    }
    case GGML: {
      ingot_ggml_job job = {0};
      job.type = (ingot_ggml)k->type;
      job.search = k->search;
      job.blocks = out;
      ingot_quantize_rows_ggml(isa, &source, &job, tile);
      return;
    }
    case MICRO: {
      ingot_micro_job job = {0};
      job.group = (size_t)k->group;
      job.powers = k->type == 1;
      job.search = k->search;
      job.global = 1;
      job.codes = out;
      job.scales = out + count / 2;
      ingot_quantize_rows_micro(isa, &source, &job, tile, scratch);
      return;
    }
    case CAST: ingot_encode_rows(isa, &source, INGOT_BF16, out, tile); return;
    case DECODE: ingot_decode_rows(isa, &source, 0, rows, (float *)(void *)out); return;
    case TRELLIS: {
      // Any bits are codes, and any scales will do.
      ingot_trellis trellis = {(unsigned)k->bits, 12, 256};
      ingot_decode_trellis(isa, &trellis, fp8[tensor], rows, COLUMNS, tile, tile + ROWS, (float *)(void *)out);
      return;
    }
  }
}

static void time_kernel(const kernel *k, bool first) {
  double per_copy[MOST_ROUNDS], per_scalar[MOST_ROUNDS], rate[MOST_ROUNDS], copy_rate[MOST_ROUNDS];
  int tensors = k->search ? 1 : k->kind >= DECODE ? TENSORS / 4 : TENSORS, turns = k->search ? 2 : rounds;
  size_t rows = k->search ? ROWS / 8 : ROWS, weights = rows * COLUMNS, out = (size_t)((double)weights * k->bytes);
  ingot_isa best = ingot_isa_best();
  for (int r = 0; r < turns; r++) {
    double start = thread_seconds();
    for (int t = 0; t < tensors; t++)
      traffic(k->from_bf16 ? bf16[t] : fp8[t], weights * (k->from_bf16 ? 2 : 1), target + (size_t)t * out, out);
    double copied = thread_seconds() - start;
    start = thread_seconds();
    for (int t = 0; t < tensors; t++) quantize(k, t, rows, target + (size_t)t * out, best);
    double made = thread_seconds() - start;
    start = thread_seconds();
    quantize(k, 0, SLOW_ROWS, target, INGOT_SCALAR);
    double scalar = thread_seconds() - start;
    per_copy[r] = copied / made;
    per_scalar[r] = scalar / SLOW_ROWS / (made / (double)((size_t)tensors * rows));
    rate[r] = (double)tensors * (double)weights / made;
    copy_rate[r] = (double)tensors * (double)weights / copied;
  }
  printf("%s\n    {\"name\": \"%s\", ", first ? "" : ",", k->name);
  print_spread("perCopy", per_copy, turns);
  printf(", ");
  print_spread("perScalar", per_scalar, turns);
  printf(", ");
  print_spread("weightsPerSecond", rate, turns);
  printf(", ");
  print_spread("copyWeightsPerSecond", copy_rate, turns);
  printf("}");
  fflush(stdout);
}

int main(int count, char **arguments) {
  if (count > 1) rounds = atoi(arguments[1]);
  const char *only = count > 2 ? arguments[2] : "";
  if (rounds < 1 || rounds > MOST_ROUNDS) {
    fprintf(stderr, "usage: ingot-bench [ROUNDS [KERNEL]]\n");
    return 64;
  }
  take_best_blas(arguments);
  make_weights();
  size_t most = (size_t)TENSORS * WEIGHTS * 5 / 2;
  target = aligned_alloc(4096, most);
  memset(target, 1, most);
  tile = aligned_alloc(4096, (ingot_tile_bytes(COLUMNS) + 4095) / 4096 * 4096);
  scratch = aligned_alloc(4096, ingot_tile_rows(COLUMNS) * COLUMNS * 2 + 4096);
  const kernel kernels[] = {
      {"int8 g64 sym", AFFINE, 8, 64, INGOT_SYMMETRIC, 0, false, false, false, 1 + 2.0 / 64},
      {"int4 g64 sym", AFFINE, 4, 64, INGOT_SYMMETRIC, 0, false, false, false, 0.5 + 2.0 / 64},
      {"int4 g128 sym", AFFINE, 4, 128, INGOT_SYMMETRIC, 0, false, false, false, 0.5 + 2.0 / 128},
      {"q8_0", GGML, 0, 0, 0, INGOT_Q8_0, false, false, false, 34.0 / 32},
      {"q4_0", GGML, 0, 0, 0, INGOT_Q4_0, false, false, false, 18.0 / 32},
      {"mxfp4", MICRO, 0, 32, 0, 1, false, false, false, 0.5 + 1.0 / 32},
      {"nvfp4", MICRO, 0, 16, 0, 0, false, false, false, 0.5 + 1.0 / 16},
      {"int4 g64 zero", AFFINE, 4, 64, INGOT_ZERO_POINT, 0, false, false, false, 0.5 + 2.5 / 64},
      {"int4 g64 bias", AFFINE, 4, 64, INGOT_BIAS, 0, false, false, false, 0.5 + 4.0 / 64},
      {"int4 g64 as MLX", AFFINE, 4, 64, INGOT_BIAS, 0, false, false, true, 0.5 + 4.0 / 64},
      {"int3 g64 zero", AFFINE, 3, 64, INGOT_ZERO_POINT, 0, false, false, false, 0.375 + 2.375 / 64},
      {"int8 g32 zero", AFFINE, 8, 32, INGOT_ZERO_POINT, 0, false, false, false, 1 + 3.0 / 32},
      {"bf16 to int4 g64 zero", AFFINE, 4, 64, INGOT_ZERO_POINT, 0, false, true, false, 0.5 + 2.5 / 64},
      {"bf16 to q8_0", GGML, 0, 0, 0, INGOT_Q8_0, false, true, false, 34.0 / 32},
      {"bf16 to int4 g64 sym", AFFINE, 4, 64, INGOT_SYMMETRIC, 0, false, true, false, 0.5 + 2.0 / 64},
      {"bf16 to int4 g64 bias", AFFINE, 4, 64, INGOT_BIAS, 0, false, true, false, 0.5 + 4.0 / 64},
      {"bf16 to q4_0", GGML, 0, 0, 0, INGOT_Q4_0, false, true, false, 18.0 / 32},
      {"bf16 to q5_1", GGML, 0, 0, 0, INGOT_Q5_1, false, true, false, 24.0 / 32},
      {"bf16 to mxfp4", MICRO, 0, 32, 0, 1, false, true, false, 0.5 + 1.0 / 32},
      {"bf16 to nvfp4", MICRO, 0, 16, 0, 0, false, true, false, 0.5 + 1.0 / 16},
      {"fp8 to bf16", CAST, 0, 0, 0, 0, false, false, false, 2},
      {"fp8 to f32", DECODE, 0, 0, 0, 0, false, false, false, 4},
      {"bf16 to f32", DECODE, 0, 0, 0, 0, false, true, false, 4},
      {"trellis-2.5 to f32", TRELLIS, 5, 0, 0, 0, false, false, false, 4},
      {"int4 g64 zero, search", AFFINE, 4, 64, INGOT_ZERO_POINT, 0, true, false, false, 0.5 + 2.5 / 64},
      {"mxfp4, search", MICRO, 0, 32, 0, 1, true, false, false, 0.5 + 1.0 / 32},
      {"nvfp4, search", MICRO, 0, 16, 0, 0, true, false, false, 0.5 + 1.0 / 16},
      {"q4_0, search", GGML, 0, 0, 0, INGOT_Q4_0, true, false, false, 18.0 / 32},
      {"q4_k, search", GGML, 0, 0, 0, INGOT_Q4_K, true, false, false, 144.0 / 256},
      {"q6_k, search", GGML, 0, 0, 0, INGOT_Q6_K, true, false, false, 210.0 / 256},
      {"iq4_xs, search", GGML, 0, 0, 0, INGOT_IQ4_XS, true, false, false, 136.0 / 256},
  };
  static const char *const names[] = {"scalar", "AVX2", "AVX-512", "NEON"};
  double peak = peak_gflops();
  printf("{\n  \"isa\": \"%s\", \"peakGflops\": %.1f, ", names[ingot_isa_best()], peak);
  printf("\"blas\": \"%s\",\n", blas_name());
  printf("  \"kernels\": [");
  bool first = true;
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    if (strncmp(kernels[i].name, only, strlen(only)) != 0) continue;
    time_kernel(&kernels[i], first);
    first = false;
  }
  printf("\n  ]");
  if (!*only || !strcmp(only, "products")) {
    ingot_rows weights[TENSORS];
    for (int t = 0; t < TENSORS; t++) weights[t] = source_of(&(kernel){.kind = DECODE}, t, ROWS);
    time_products(weights, TENSORS, rounds, peak);
  }
  printf("\n}\n");
  return 0;
}
