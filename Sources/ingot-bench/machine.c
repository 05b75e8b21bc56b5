#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double thread_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double uniform(void) {
  static uint64_t state = 1;
  state += 0x9E3779B97F4A7C15;
  uint64_t z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

void print_spread(const char *name, double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, ascending);
  double median = (values[(count - 1) / 2] + values[count / 2]) / 2;
  printf("\"%s\": [%.5g, %.5g, %.5g]", name, median, values[0], values[count - 1]);
}

// Twelve chains of multiply-adds hide the latency of each.
enum { CHAINS = 12, TURNS = 4000000 };

#define PEAK(name, width, lanes, attributes) \
  typedef float name##_lanes __attribute__((vector_size(width))); \
  attributes static double name(void) { \
    name##_lanes x[CHAINS], factor = {0}; \
    factor += 0.9999f; \
    for (int i = 0; i < CHAINS; i++) x[i] = factor; \
    __asm__ volatile("" : "+m"(factor)); \
    double start = thread_seconds(); \
    for (int turn = 0; turn < TURNS; turn++) { \
      _Pragma("clang loop unroll(full)") for (int i = 0; i < CHAINS; i++) x[i] = \
          __builtin_elementwise_fma(x[i], factor, factor); \
    } \
    double seconds = thread_seconds() - start; \
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "m"(x[i])); \
    return 2.0 * lanes * CHAINS * TURNS / seconds * 1e-9; \
  }

#if defined(__x86_64__)
PEAK(peak_512, 64, 16, __attribute__((target("avx512f"))))
PEAK(peak_256, 32, 8, __attribute__((target("avx2,fma"))))
#elif defined(__aarch64__)
PEAK(peak_128, 16, 4, )
#endif

double peak_gflops(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return peak_512();
  return __builtin_cpu_supports("fma") ? peak_256() : 0;
#elif defined(__aarch64__)
  return peak_128();
#else
  return 0;
#endif
}

void traffic(const uint8_t *source, size_t in, uint8_t *target, size_t out) {
  // Piece by piece, so that both sides move on together as they do in a kernel.
  enum { PIECE = 1 << 16 };
  size_t pieces = in / PIECE + 1;
  for (size_t i = 0; i < pieces; i++) {
    size_t from = in * i / pieces, input = in * (i + 1) / pieces - from;
    size_t to = out * i / pieces, output = out * (i + 1) / pieces - to;
    size_t both = input < output ? input : output;
    memcpy(target + to, source + from, both);
    for (size_t done = both; done < output; done += both)
      memcpy(target + to + done, source + from, output - done < both ? output - done : both);
    uint64_t seen = 0;
    for (size_t done = both; done + 8 <= input; done += 64) {
      uint64_t word;
      memcpy(&word, source + from + done, 8);
      seen |= word;
    }
    __asm__ volatile("" : : "r"(seen));
  }
}
