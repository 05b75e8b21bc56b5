// All vector bodies, for the instruction set whose suffix is INGOT_SUFFIX.
#pragma STDC FP_CONTRACT OFF
#pragma clang diagnostic push
// Vectors are passed to inlined functions only, so how calls would pass them does not matter.
#pragma clang diagnostic ignored "-Wpsabi"

#include "affine_rows.h"
#include "block_rows.h"
#define CODES_UNPACK BODY(ingot_unpack)
#include "coded.h"
#include "codes.h"
#include "factor.h"
#include "floats.h"
#include "ggml_decode.h"
#include "ggml_nearest.h"
#include "ggml_search_blocks.h"
#include "gptq.h"
#include "gptq_block.h"
#include "../lattice_gptq.h"
#include "../lattice_search.h"
#include "hash.h"
#include "micro.h"
#include "product.h"
#if !defined(INGOT_VBMI)
// Of AVX-512 it is in avx512_vnni.c.
#include "rounded.h"
#endif
#include "round_to_nearest.h"
#include "search_groups.h"
#include "trellis.h"
#include "tiles.h"
#include "fp8_tables.h"

#pragma clang diagnostic pop
