#ifndef INGOT_CKERNELS_H
#define INGOT_CKERNELS_H
#include <stddef.h>
#include <stdint.h>
#endif
