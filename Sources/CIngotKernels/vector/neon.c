// The vector bodies for Advanced SIMD, which every arm64 processor has.
#include <string.h>

#include "../quantize.h"
#include "../xxh3.h"

#if defined(INGOT_ARM64)
#include <arm_neon.h>
#define INGOT_SUFFIX neon
#include "bodies.h"
#endif
