// The project's own texts for calibration and for verifying, as scripts/tools make-calibration-text makes them.
#ifndef INGOT_TEXTS_H
#define INGOT_TEXTS_H

#include <stddef.h>

#if defined(__cplusplus)
extern "C" {
#endif

/// A text in UTF-8, without an end mark.
typedef struct ingot_text {
  const char *name;
  const unsigned char *bytes;
  size_t count;
  /// Not 0: not for calibration, so that something can be verified on it.
  int held_out;
} ingot_text;

size_t ingot_text_count(void);
ingot_text ingot_text_at(size_t index);

#if defined(__cplusplus)
}
#endif

#endif
