// Tells thread sanitizer what it cannot see: that a contended Synchronization.Mutex was released and acquired.
//
// Taking and leaving a mutex that nobody waits for is inlined and instrumented. Waiting for one, and waking who waits,
// happens in libswiftSynchronization, which is not, so what another thread did under the mutex would look like a race.
// Preloaded by scripts/tools sanitize, this stands before the library's functions, calls them, and says what happens.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

extern void __tsan_acquire(void *) __attribute__((weak));
extern void __tsan_release(void *) __attribute__((weak));

#define MUTEX __attribute__((swift_context)) void *mutex
#define SWIFT __attribute__((swiftcall))

// _MutexHandle._lockSlow(_: UInt32) and _unlockSlow(), by Swift's calling convention.
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void lock(uint32_t state, MUTEX) __asm__(LOCK);
SWIFT void unlock(MUTEX) __asm__(UNLOCK);

SWIFT void lock(uint32_t state, MUTEX) {
    ((SWIFT void (*)(uint32_t, MUTEX))dlsym(RTLD_NEXT, LOCK))(state, mutex);
    if (__tsan_acquire) __tsan_acquire(mutex);
}

SWIFT void unlock(MUTEX) {
    if (__tsan_release) __tsan_release(mutex);
    ((SWIFT void (*)(MUTEX))dlsym(RTLD_NEXT, UNLOCK))(mutex);
}
