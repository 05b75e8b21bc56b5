// include/ingot.h as a target: an artifact of one part in memory, all that can be asked of it, and nothing past its bytes.
// The other half, with libFuzzer's side and the bounds on time and memory, is ../Sources/ingot-fuzz/main.c.

#define INGOT_IMPLEMENTATION
#include "../../include/ingot.h"

// Values that an input may ask for.
static const uint64_t most_values = 1 << 16;

// A name out of a file must not drive the terminal that the message is shown on, and every refusal says why.
static void check_text(const ingot_error *error) {
  size_t length = strnlen(error->text, sizeof error->text);
  if (length == 0 || length == sizeof error->text) abort();
  for (size_t i = 0; i < length; i++)
    if ((uint8_t)error->text[i] < 0x20 || error->text[i] == 0x7F) abort();
}

static void need(bool holds, const ingot_error *error) {
  if (!holds) {
    fprintf(stderr, "%s\n", error->text);
    abort();
  }
}

static void use_tensor(const ingot_artifact *artifact, const ingot_tensor *tensor, uint64_t *left) {
  ingot_error error = {""};
  if (strlen(tensor->name) == tensor->name_length && ingot_find(artifact, tensor->name) != tensor) abort();
  if (!ingot_check_tensor(artifact, tensor, &error)) check_text(&error);
  for (int i = 0; i < tensor->planes; i++) {
    uint64_t count = tensor->plane[i].row_bytes * tensor->plane[i].rows;
    if (count && tensor->plane[i].bytes[0] + tensor->plane[i].bytes[count - 1] > 510) abort();
  }
  if (!ingot_decodable(tensor)) {
    if (ingot_values(artifact, tensor, 0, 0, NULL, &error)) abort();
    check_text(&error);
    return;
  }
  if (ingot_values(artifact, tensor, tensor->rows, 1, NULL, &error)) abort();
  check_text(&error);
  if (tensor->columns == 0 || tensor->rows == 0) {
    need(ingot_values(artifact, tensor, 0, tensor->rows, NULL, &error), &error);
    return;
  }
  // All of it, or its first and its last row.
  uint64_t count = tensor->rows * tensor->columns;
  bool whole = count <= *left;
  uint64_t room = whole ? count : tensor->columns;
  if (room > *left) return;
  *left -= room;
  float *values = malloc(4 * (size_t)room);
  if (!values) abort();
  if (whole) {
    need(ingot_values(artifact, tensor, 0, tensor->rows, values, &error), &error);
  } else {
    need(ingot_values(artifact, tensor, 0, 1, values, &error), &error);
    need(ingot_values(artifact, tensor, tensor->rows - 1, 1, values, &error), &error);
  }
  free(values);
}

void ingot_fuzz_run(const uint8_t *data, size_t size) {
  ingot_error error = {""};
  ingot_artifact *artifact = ingot_open_memory(data, size, &error);
  if (!artifact) return check_text(&error);
  uint64_t left = most_values;
  for (size_t i = 0; i < ingot_tensor_count(artifact); i++) use_tensor(artifact, ingot_tensor_at(artifact, i), &left);
  for (size_t i = 0; i < ingot_file_count(artifact); i++) {
    const ingot_file *file = ingot_file_at(artifact, i);
    uint8_t *content = malloc(file->bytes ? (size_t)file->bytes : 1);
    if (!content) abort();
    if (!ingot_read_file(artifact, file, content, &error)) check_text(&error);
    free(content);
  }
  ingot_close(artifact);
}

int ingot_fuzz_select(const char *name) { return strcmp(name, "header") == 0; }

static void put64(uint8_t *p, uint64_t value) {
  for (int i = 0; i < 8; i++) p[i] = (uint8_t)(value >> 8 * i);
}

// Makes the file's length and the checksums right again.
size_t ingot_fuzz_repair(uint8_t *data, size_t size, size_t limit) {
  (void)limit;
  if (size < 128) return size;
  put64(data + 24, size);
  uint64_t length = ingot_u64(data + 40);
  if (ingot_u64(data + 32) == 128 && length <= size - 128) put64(data + 48, ingot_xxh3_64(data + 128, (size_t)length));
  put64(data + 120, ingot_xxh3_64(data, 120));
  return size;
}
