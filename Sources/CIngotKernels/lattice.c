// The search for blocks of lattice types, and GPTQ on them: scalar reference, one block or row at a time.
#include "lattice_gptq.h"
#include "lattice_search.h"

#pragma STDC FP_CONTRACT OFF
