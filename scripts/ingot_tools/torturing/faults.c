// Faults of the system, for scripts/tools torture: loaded before the C library, it counts calls on files and makes chosen ones
// fail. Only calls that concern paths under $FAULT_ROOT, and descriptors opened there, are counted.
//
//   FAULT_AT      the call that fails, from 1 on; 0 counts only
//   FAULT_KIND    eio, enospc, eintr, short, kill (SIGKILL before the call), killafter
//   FAULT_EVERY   1: every call from FAULT_AT on fails, as of a dead disk
//   FAULT_COUNT   file that gets the number of calls and, of the failed one, its name
//   FAULT_ROOM    bytes that may be reserved or written below $FAULT_ROOT; then ENOSPC
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { limit = 4096 };
static atomic_long calls, failures;
static atomic_llong used;
static long at;
static int every, code, is_short, is_kill, is_kill_after;
static long long room = -1;
static char root[limit];
static size_t root_length;
static const char *count_path;
static atomic_uchar ours[65536];
static char failed[64];

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
  const char *text = getenv("FAULT_ROOT");
  if (text) snprintf(root, sizeof root, "%s", text);
  root_length = strlen(root);
  at = (text = getenv("FAULT_AT")) ? atol(text) : 0;
  every = (text = getenv("FAULT_EVERY")) && *text == '1';
  count_path = getenv("FAULT_COUNT");
  if ((text = getenv("FAULT_ROOM"))) room = atoll(text);
  const char *kind = getenv("FAULT_KIND");
  if (!kind) kind = "";
  code = !strcmp(kind, "enospc") ? ENOSPC : !strcmp(kind, "eintr") ? EINTR : EIO;
  is_short = !strcmp(kind, "short");
  is_kill = !strcmp(kind, "kill");
  is_kill_after = !strcmp(kind, "killafter");
}

__attribute__((destructor)) static void end(void) {
  if (!count_path) return;
  int out = (int)syscall(SYS_openat, AT_FDCWD, count_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (out < 0) return;
  char text[160];
  int length = snprintf(text, sizeof text, "%ld %ld %s\n", atomic_load(&calls), atomic_load(&failures), failed);
  syscall(SYS_write, out, text, (size_t)length);
  syscall(SYS_close, out);
}

static int is_ours_path(const char *path) {
  return root_length && path && strncmp(path, root, root_length) == 0;
}
static int is_ours(int descriptor) {
  return descriptor >= 0 && descriptor < 65536 && atomic_load(&ours[descriptor]);
}

// Whether this call is to fail. A kill does not come back.
static int fails(const char *name) {
  long number = atomic_fetch_add(&calls, 1) + 1;
  if (!at || (every ? number < at : number != at)) return 0;
  if (atomic_fetch_add(&failures, 1) == 0) snprintf(failed, sizeof failed, "%s", name);
  if (is_kill) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  return 1;
}
static void after(int hit) {
  if (hit && is_kill_after) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
}
#define FAIL(name, hit) \
  int hit = fails(name); \
  if (hit && !is_short && !is_kill_after) { errno = code; return -1; }

static int note(int descriptor, const char *path) {
  if (descriptor >= 0 && descriptor < 65536) atomic_store(&ours[descriptor], is_ours_path(path));
  return descriptor;
}

int open(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
  va_end(list);
  int hit = 0;
  if (is_ours_path(path)) {
    hit = fails("open");
    if (hit && !is_short && !is_kill_after) { errno = code; return -1; }
  }
  int result = note((int)syscall(SYS_openat, AT_FDCWD, path, flags, mode), path);
  after(hit);
  return result;
}
int open64(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
  va_end(list);
  return open(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
  va_end(list);
  return (int)syscall(SYS_openat, folder, path, flags, mode);
}

int close(int descriptor) {
  REAL(close);
  if (!is_ours(descriptor)) return real(descriptor);
  int hit = fails("close");
  atomic_store(&ours[descriptor], 0);
  int result = real(descriptor);
  after(hit);
  // As on Linux: the descriptor is closed whatever is said.
  if (hit && !is_short && !is_kill_after) { errno = code; return -1; }
  return result;
}

static size_t cut(int hit, size_t size) { return hit && is_short && size > 1 ? size / 2 : size; }

ssize_t read(int descriptor, void *buffer, size_t size) {
  REAL(read);
  if (!is_ours(descriptor)) return real(descriptor, buffer, size);
  FAIL("read", hit);
  ssize_t result = real(descriptor, buffer, cut(hit, size));
  after(hit);
  return result;
}
ssize_t pread(int descriptor, void *buffer, size_t size, off_t offset) {
  REAL(pread);
  if (!is_ours(descriptor)) return real(descriptor, buffer, size, offset);
  FAIL("pread", hit);
  // A short read past the page cache ends at a block.
  size_t part = cut(hit, size);
  if (hit && is_short && size > 8192) part = part / 4096 * 4096;
  ssize_t result = real(descriptor, buffer, part, offset);
  after(hit);
  return result;
}

// Takes bytes from the room that is left.
static int no_room(long long size) {
  if (room < 0) return 0;
  if (atomic_fetch_add(&used, size) + size <= room) return 0;
  atomic_fetch_sub(&used, size);
  if (atomic_fetch_add(&failures, 1) == 0) snprintf(failed, sizeof failed, "room");
  errno = ENOSPC;
  return 1;
}

ssize_t write(int descriptor, const void *buffer, size_t size) {
  REAL(write);
  if (!is_ours(descriptor)) return real(descriptor, buffer, size);
  FAIL("write", hit);
  ssize_t result = real(descriptor, buffer, cut(hit, size));
  after(hit);
  return result;
}
ssize_t pwrite(int descriptor, const void *buffer, size_t size, off_t offset) {
  REAL(pwrite);
  if (!is_ours(descriptor)) return real(descriptor, buffer, size, offset);
  FAIL("pwrite", hit);
  size_t part = cut(hit, size);
  if (hit && is_short && size > 8192) part = part / 4096 * 4096;
  if (getenv("FAULT_NO_RESERVE") && no_room((long long)part)) return -1;
  ssize_t result = real(descriptor, buffer, part, offset);
  after(hit);
  return result;
}
int fsync(int descriptor) {
  REAL(fsync);
  if (!is_ours(descriptor)) return real(descriptor);
  FAIL("fsync", hit);
  // The machine's disk is no part of what is tested; waiting for it would be most of the time.
  after(hit);
  return 0;
}
int ftruncate(int descriptor, off_t size) {
  REAL(ftruncate);
  if (!is_ours(descriptor)) return real(descriptor, size);
  FAIL("ftruncate", hit);
  int result = real(descriptor, size);
  after(hit);
  return result;
}
int fallocate(int descriptor, int mode, off_t offset, off_t size) {
  REAL(fallocate);
  if (!is_ours(descriptor)) return real(descriptor, mode, offset, size);
  FAIL("fallocate", hit);
  if (getenv("FAULT_NO_RESERVE")) { errno = EOPNOTSUPP; return -1; }
  if (no_room(size)) return -1;
  int result = real(descriptor, mode, offset, size);
  after(hit);
  return result;
}
void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) {
  REAL(mmap);
  if (!is_ours(descriptor)) return (void *)syscall(SYS_mmap, address, size, protection, flags, descriptor, offset);
  int hit = fails("mmap");
  if (hit && !is_short && !is_kill_after) { errno = code == EINTR ? ENOMEM : code; return MAP_FAILED; }
  void *result = real(address, size, protection, flags, descriptor, offset);
  after(hit);
  return result;
}
int fstat(int descriptor, struct stat *status) {
  REAL(fstat);
  if (!is_ours(descriptor)) return real(descriptor, status);
  FAIL("fstat", hit);
  int result = real(descriptor, status);
  after(hit);
  return result;
}

#define ON_PATH(name, parameters, arguments, path) \
  int name parameters { \
    REAL(name); \
    if (!is_ours_path(path)) return real arguments; \
    FAIL(#name, hit); \
    int result = real arguments; \
    after(hit); \
    return result; \
  }
ON_PATH(rename, (const char *source, const char *target), (source, target), source)
ON_PATH(renameat2, (int a, const char *source, int b, const char *target, unsigned flags),
        (a, source, b, target, flags), source)
ON_PATH(unlink, (const char *path), (path), path)
ON_PATH(rmdir, (const char *path), (path), path)
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode), path)
ON_PATH(symlink, (const char *target, const char *path), (target, path), path)

int statvfs(const char *path, struct statvfs *status) {
  REAL(statvfs);
  int result = real(path, status);
  const char *free_bytes = getenv("FAULT_FREE");
  if (result == 0 && is_ours_path(path) && free_bytes)
    status->f_bavail = (fsblkcnt_t)(atoll(free_bytes) / (long long)status->f_frsize);
  return result;
}
