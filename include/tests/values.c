/* Prints what include/ingot.h reads, for test_header.py.
 *
 *     values FILE...           of each file a record for each tensor and side file on standard output: a line
 *                              "values|bytes|file LENGTH-OF-NAME BYTES", the name, and so many bytes; then "end 0 0".
 *                              A file that is refused is a line on standard error, and the exit code is 1.
 *     values --memory FILE...  the same, opened in memory: exactly as many bytes as the file has
 *     values --hash FILE       the hash of each beginning of the file up to 4,096 bytes, and of the whole
 */
#ifdef __linux__
#define _DEFAULT_SOURCE
#endif
#define INGOT_IMPLEMENTATION
#include "../ingot.h"

static void *needed(size_t size) {
  void *memory = malloc(size ? size : 1);
  if (!memory) abort();
  return memory;
}

static void put(const char *kind, const char *name, size_t length, const void *bytes, size_t count) {
  printf("%s %zu %zu\n", kind, length, count);
  fwrite(name, 1, length, stdout);
  if (count) fwrite(bytes, 1, count, stdout);
}

/* Values as the whole, and again in pieces of a few rows, which must be the same bytes. */
static bool put_values(const ingot_artifact *artifact, const ingot_tensor *tensor, ingot_error *error) {
  size_t count = (size_t)(tensor->rows * tensor->columns);
  float *values = needed(4 * count), *piece = needed(4 * count);
  bool holds = ingot_values(artifact, tensor, 0, tensor->rows, values, error);
  uint64_t step = 1;
  for (uint64_t row = 0; holds && row < tensor->rows; row += step, step = step % 3 + 1) {
    uint64_t rows = step < tensor->rows - row ? step : tensor->rows - row, width = tensor->columns;
    holds = ingot_values(artifact, tensor, row, rows, piece, error);
    if (holds && memcmp(piece, values + row * width, (size_t)(4 * rows * width)) != 0) {
      fprintf(stderr, "%s: rows from %llu on depend on where they begin\n", tensor->name, (unsigned long long)row);
      abort();
    }
  }
  if (holds) put("values", tensor->name, tensor->name_length, values, 4 * count);
  if (ingot_values(artifact, tensor, 1, tensor->rows, values, NULL)) abort();
  free(values);
  free(piece);
  return holds;
}

static bool put_tensor(const ingot_artifact *artifact, const ingot_tensor *tensor, ingot_error *error) {
  if (ingot_find(artifact, tensor->name) != tensor) abort();
  if (!ingot_check_tensor(artifact, tensor, error)) return false;
  if (ingot_decodable(tensor)) return put_values(artifact, tensor, error);
  if (ingot_values(artifact, tensor, 0, tensor->rows, NULL, error)) abort();
  put("bytes", tensor->name, tensor->name_length, tensor->plane[0].bytes, (size_t)tensor->bytes);
  return true;
}

static bool put_file(const ingot_artifact *artifact, const ingot_file *file, ingot_error *error) {
  uint8_t *content = needed((size_t)file->bytes);
  bool holds = ingot_read_file(artifact, file, content, error);
  if (holds) put("file", file->name, file->name_length, content, (size_t)file->bytes);
  free(content);
  return holds;
}

static bool put_all(const ingot_artifact *artifact, ingot_error *error) {
  for (size_t i = 0; i < ingot_tensor_count(artifact); i++)
    if (!put_tensor(artifact, ingot_tensor_at(artifact, i), error)) return false;
  for (size_t i = 0; i < ingot_file_count(artifact); i++)
    if (!put_file(artifact, ingot_file_at(artifact, i), error)) return false;
  if (ingot_find(artifact, "no tensor") || ingot_tensor_at(artifact, ingot_tensor_count(artifact))) abort();
  if (ingot_file_at(artifact, ingot_file_count(artifact))) abort();
  return true;
}

/* Memory of just the file's size, so that a sanitizer sees every byte past it. */
static uint8_t *read_whole(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) abort();
  *size = (size_t)ftell(file);
  rewind(file);
  uint8_t *bytes = needed(*size);
  if (fread(bytes, 1, *size, file) != *size) abort();
  fclose(file);
  return bytes;
}

static int hashes(const char *path) {
  size_t size;
  uint8_t *bytes = read_whole(path, &size);
  for (size_t count = 0; count <= 4096 && count <= size; count++)
    printf("%016llx\n", (unsigned long long)ingot_xxh3_64(bytes, count));
  printf("%016llx\n", (unsigned long long)ingot_xxh3_64(bytes, size));
  free(bytes);
  return 0;
}

int main(int count, char **arguments) {
  bool in_memory = count > 1 && strcmp(arguments[1], "--memory") == 0;
  if (count > 2 && strcmp(arguments[1], "--hash") == 0) return hashes(arguments[2]);
  int failed = 0;
  for (int i = 1 + in_memory; i < count; i++) {
    ingot_error error = {""};
    size_t size = 0;
    uint8_t *bytes = in_memory ? read_whole(arguments[i], &size) : NULL;
    ingot_artifact *artifact = in_memory ? ingot_open_memory(bytes, size, &error) : ingot_open(arguments[i], &error);
    if (!artifact || !put_all(artifact, &error)) {
      fprintf(stderr, "%s\n", error.text);
      failed = 1;
    }
    printf("end 0 0\n");
    ingot_close(artifact);
    free(bytes);
  }
  return failed;
}
