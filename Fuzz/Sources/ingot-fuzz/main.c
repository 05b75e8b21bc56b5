// libFuzzer's side: takes the name of the target, and bounds what a reader may take of memory and time.
//
// There is no main here: libFuzzer's library brings one.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int ingot_fuzz_select(const char *name);
void ingot_fuzz_run(const uint8_t *data, size_t size);
size_t ingot_fuzz_repair(uint8_t *data, size_t size, size_t limit);

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t limit);
int __sanitizer_install_malloc_and_free_hooks(
    void (*allocated)(const volatile void *, size_t), void (*freed)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *);

// What a reader may hold at once, above so much for each byte of the input.
static const size_t memory_limit = 64 << 20, memory_factor = 32;
// Processor time: the wall's says too little on a machine that has other work.
static const double seconds_limit = 1;

static size_t held, most, allocations;

static void allocated(const volatile void *address, size_t size) {
    (void)address;
    held += size;
    allocations++;
    if (held > most) most = held;
}

static void freed(const volatile void *address) {
    if (address) held -= __sanitizer_get_allocated_size(address);
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    for (int i = 1; i < *count; i++) {
        if (strncmp((*arguments)[i], "--target=", 9)) continue;
        if (!ingot_fuzz_select((*arguments)[i] + 9)) {
            fprintf(stderr, "no target '%s'\n", (*arguments)[i] + 9);
            exit(64);
        }
        __sanitizer_install_malloc_and_free_hooks(allocated, freed);
        return 0;
    }
    fprintf(stderr, "--target=NAME is missing\n");
    exit(64);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t before = held;
    most = held;
    double start = seconds();
    ingot_fuzz_run(data, size);
    if (most - before > memory_limit + memory_factor * size) {
        fprintf(stderr, "MEMORY: %zu bytes held at once for an input of %zu\n", most - before, size);
        abort();
    }
    double spent = seconds() - start;
    if (spent > seconds_limit) {
        fprintf(stderr, "TIME: %.2f s for an input of %zu bytes\n", spent, size);
        abort();
    }
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t limit, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, limit);
    // Lengths and checksums made right again, mostly: behind them is where the reader works.
    return seed % 8 ? ingot_fuzz_repair(data, size, limit) : size;
}
