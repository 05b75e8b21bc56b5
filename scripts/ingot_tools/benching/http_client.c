// Takes a file of an HTTP server in ranges, over some connections at once, by libcurl, as CIngotHub does.
// usage: http_client ADDRESS BYTES RANGE CONNECTIONS; prints seconds and processor seconds
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char *address;
static size_t bytes, range;
static atomic_size_t next, received;

static size_t take(char *data, size_t size, size_t count, void *into) {
  char **at = into;
  memcpy(*at, data, size * count);
  *at += size * count;
  received += size * count;
  return size * count;
}

static void *work(void *unused) {
  (void)unused;
  CURL *curl = curl_easy_init();
  char *buffer = malloc(range);
  for (size_t first; (first = next++ * range) < bytes;) {
    size_t end = first + range < bytes ? first + range : bytes;
    char text[64], *at = buffer;
    snprintf(text, sizeof text, "%zu-%zu", first, end - 1);
    curl_easy_setopt(curl, CURLOPT_URL, address);
    curl_easy_setopt(curl, CURLOPT_RANGE, text);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 512L * 1024);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &at);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
      fprintf(stderr, "%s: %s\n", address, curl_easy_strerror(code));
      exit(1);
    }
  }
  free(buffer);
  curl_easy_cleanup(curl);
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 5) return 64;
  address = arguments[1], bytes = strtoull(arguments[2], NULL, 10), range = strtoull(arguments[3], NULL, 10);
  int connections = atoi(arguments[4]);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  pthread_t threads[64];
  for (int i = 0; i < connections && i < 64; i++) pthread_create(threads + i, NULL, work, NULL);
  for (int i = 0; i < connections && i < 64; i++) pthread_join(threads[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &end);
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  if (received != bytes) return 1;
  printf(
      "%f %f\n", (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec),
      (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec));
}
