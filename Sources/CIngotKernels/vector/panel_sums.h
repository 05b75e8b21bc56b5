// Sums over panels of rows, which are decoded sixteen at a time with a row in each lane.
#ifndef INGOT_VECTOR_PANEL_SUMS_H
#define INGOT_VECTOR_PANEL_SUMS_H

#include "../coded.h"

#define EACH_PANEL _Pragma("clang loop unroll(full)") for (size_t i = 0; i < count; i++)
#define EACH_TOKEN _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++)

/// Calls `some(COUNT, TOKENS)` with constants for `panel` and what follows and `token` and what follows, until all panels have met all tokens.
#define CODED_ALL(all_panels, all_tokens, some) { \
    size_t panel = 0, token = 0; \
    CODED_MOST(all_panels, all_tokens, some) \
    for (; panel < (all_panels); panel++) { \
      for (token = 0; token + 8 <= (all_tokens); token += 8) { some(1, 8); } \
      for (; token + 4 <= (all_tokens); token += 4) { some(1, 4); } \
      for (; token < (all_tokens); token++) { some(1, 1); } \
    } \
  }
#if defined(INGOT_VBMI)
#define CODED_MOST(all_panels, all_tokens, some) \
  for (; panel + 4 <= (all_panels) && (all_tokens) == 1; panel += 4) { some(4, 1); } \
  for (; panel + 2 <= (all_panels) && (all_tokens) == 2; panel += 2) { some(2, 2); }
#else
// More sums would not stay in registers.
#define CODED_MOST(all_panels, all_tokens, some) \
  for (; panel + 2 <= (all_panels) && (all_tokens) == 1; panel += 2) { some(2, 1); }
#endif

/// Sums of up to CODED_PANELS panels: (panels, CODED_TOKENS).
typedef struct {
  lanes_f32 of[CODED_PANELS * CODED_TOKENS];
} coded_totals;

INGOT_INLINE void put_totals(const coded_totals *totals, const ingot_coded_sums *s) {
  for (size_t t = 0; t < s->tokens; t++)
    for (size_t i = 0; i < s->of.rows; i++)
      s->y[t * s->leading + i] = totals->of[i / PANEL * CODED_TOKENS + t][i % PANEL];
}

/// The rows of panel `number`.
INGOT_INLINE ingot_coded_rows rows_of_panel(const ingot_coded_rows *all, size_t number) {
  size_t rest = all->rows - number * PANEL;
  ingot_coded_rows of = {all->source, all->row + number * PANEL, rest < PANEL ? rest : PANEL};
  return of;
}

#endif
