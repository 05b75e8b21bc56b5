// What kernels are held against: the processor's fused multiply-add, and copying.
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stddef.h>
#include <stdint.h>

/// Processor seconds of the calling thread: what else the machine does is not in them.
double thread_seconds(void);

/// GFLOP/s of one thread with nothing but multiply-adds in registers, of the widest kind there is; 0 when unknown.
double peak_gflops(void);

/// The traffic of a kernel that reads `in` bytes and writes `out`: the shorter is copied, the rest read or written.
void traffic(const uint8_t *source, size_t in, uint8_t *target, size_t out);

/// Uniform in 0 ..< 1, the same sequence in every run.
double uniform(void);

enum { MOST_ROUNDS = 100 };
/// Prints median, least and greatest as a JSON array.
void print_spread(const char *name, double *values, int count);

#endif
