#define _GNU_SOURCE
#include "csystem.h"

#include <sched.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __APPLE__
#include <libproc.h>
#include <sys/sysctl.h>
#endif

int ingot_reserve(int descriptor, long long size) {
  if (size == 0) return 0;
#ifdef __APPLE__
  (void)descriptor;
  return EOPNOTSUPP;
#else
  int result;
  do result = fallocate(descriptor, 0, 0, size);
  while (result != 0 && errno == EINTR);
  if (result == 0) return 0;
  return errno == ENOSYS ? EOPNOTSUPP : errno;
#endif
}

int ingot_hole(int descriptor, long long from, long long *start, long long *end) {
  off_t hole = lseek(descriptor, from, SEEK_HOLE);
  if (hole < 0) return errno;
  off_t size = lseek(descriptor, 0, SEEK_END);
  if (size < 0) return errno;
  // The end of a file counts as a hole of no length.
  if (hole >= size) return ENXIO;
  off_t data = lseek(descriptor, hole, SEEK_DATA);
  if (data < 0 && errno != ENXIO) return errno;
  *start = hole;
  *end = data < 0 ? size : data;
  return 0;
}

int ingot_rename_to_new(const char *source, const char *target) {
#ifdef __APPLE__
  return renamex_np(source, target, RENAME_EXCL) == 0 ? 0 : errno;
#else
  return renameat2(AT_FDCWD, source, AT_FDCWD, target, RENAME_NOREPLACE) == 0 ? 0 : errno;
#endif
}

int ingot_boot_name(char *name, unsigned long size) {
#ifdef __APPLE__
  size_t length = size;
  return sysctlbyname("kern.bootsessionuuid", name, &length, NULL, 0) == 0 ? 0 : errno;
#else
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (!file) return errno;
  char *line = fgets(name, (int)size, file);
  fclose(file);
  if (!line) return EIO;
  char *end = strchr(name, '\n');
  if (!end) return ENAMETOOLONG;
  *end = 0;
  return 0;
#endif
}

unsigned long long ingot_process_start(int process) {
#ifdef __APPLE__
  struct proc_bsdinfo info;
  int length = proc_pidinfo(process, PROC_PIDTBSDINFO, 0, &info, sizeof info);
  if (length != (int)sizeof info || info.pbi_status == 5 /* SZOMB */) return 0;
  return info.pbi_start_tvsec * 1000000ULL + info.pbi_start_tvusec;
#else
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", process);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = 0;
  // The second field, the command's name in parentheses, may hold anything: fields are counted behind it.
  char *rest = strrchr(text, ')');
  if (!rest || rest[1] != ' ' || rest[2] == 'Z' || rest[2] == 'X') return 0;
  for (int field = 3; field <= 22; field++) {
    rest = strchr(rest + 1, ' ');
    if (!rest) return 0;
  }
  return strtoull(rest + 1, NULL, 10);
#endif
}

int ingot_flush_output(void) {
  errno = 0;
  if (fflush(stdout) != 0) return errno != 0 ? errno : EIO;
  return ferror(stdout) ? EIO : 0;
}

void ingot_let_others_run(void) { sched_yield(); }
