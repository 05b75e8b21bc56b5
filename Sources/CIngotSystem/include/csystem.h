#ifndef INGOT_CSYSTEM_H
#define INGOT_CSYSTEM_H

// System calls that Swift does not see: behind feature macros, or with a variable number of arguments.
// Each gives 0, or errno's code.

/// Reserves the first `size` bytes of a file on the disk and makes it that long. EOPNOTSUPP where the file system has
/// no such thing: unlike posix_fallocate, nothing is written block by block then.
int ingot_reserve(int descriptor, long long size);

/// Renames unless something stands at `target`: EEXIST then. EINVAL or ENOSYS where the system cannot promise that.
int ingot_rename_to_new(const char *source, const char *target);

/// A name of the system's current start, which changes with the next; ENAMETOOLONG when `size` bytes are too few.
int ingot_boot_name(char *name, unsigned long size);

/// When a process began, in a unit of the system's; 0 when there is no such process, or none that still runs, or it is
/// not known.
unsigned long long ingot_process_start(int process);

/// Sets `start` and `end` to the first stretch of a file at or behind `from` that takes no room on the disk and reads as
/// zeros. ENXIO when there is none, EINVAL where the file system does not tell.
int ingot_hole(int descriptor, long long from, long long *start, long long *end);
/// Whether all that was printed on standard output was taken by the system: errno's code of the last failure, or EIO for
/// one before.
int ingot_flush_output(void);


/// Tells the processor that its thread looks at memory until another thread changes it.
static inline void ingot_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// Lets another thread have the processor, if one waits for it.
void ingot_let_others_run(void);

#endif
