#include "http.h"

// Its macros that check types call the functions by name.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct ingot_http {
  CURL *curl;
};

static atomic_ullong received_bytes;

unsigned long long ingot_http_received(void) { return atomic_load_explicit(&received_bytes, memory_order_relaxed); }

// ---- the library --------------------------------------------------------------------------------------------------------

#undef curl_easy_setopt
#undef curl_easy_getinfo

static struct {
  CURLcode (*global_init)(long);
  CURL *(*easy_init)(void);
  void (*easy_cleanup)(CURL *);
  void (*easy_reset)(CURL *);
  CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
  CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
  CURLcode (*easy_perform)(CURL *);
  const char *(*easy_strerror)(CURLcode);
  struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
  void (*slist_free_all)(struct curl_slist *);
} lib;
static const char *missing;

static void load(void) {
#ifdef __APPLE__
  static const char *const names[] = {"/usr/lib/libcurl.4.dylib", "libcurl.4.dylib"};
#else
  static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
#endif
  void *found = NULL;
  for (size_t i = 0; !found && i < sizeof names / sizeof *names; i++) found = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  if (!found) {
    missing = "none on this machine: install it (on Debian and Ubuntu the package libcurl4)";
    return;
  }
  // As POSIX has it: a pointer to a function out of one to an object.
#define FIND(name) (*(void **)&lib.name = dlsym(found, "curl_" #name))
  int complete = FIND(global_init) && FIND(easy_init) && FIND(easy_cleanup) && FIND(easy_reset) && FIND(easy_setopt) &&
                 FIND(easy_getinfo) && FIND(easy_perform) && FIND(easy_strerror) && FIND(slist_append) &&
                 FIND(slist_free_all);
#undef FIND
  if (!complete || lib.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) missing = "one that does not work";
}

const char *ingot_http_missing(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return missing;
}

// ---- connections --------------------------------------------------------------------------------------------------------

ingot_http *ingot_http_begin(void) {
  if (ingot_http_missing()) return NULL;
  ingot_http *connection = calloc(1, sizeof *connection);
  if (!connection) return NULL;
  connection->curl = lib.easy_init();
  if (connection->curl) return connection;
  free(connection);
  return NULL;
}

void ingot_http_end(ingot_http *connection) {
  lib.easy_cleanup(connection->curl);
  free(connection);
}

typedef struct {
  CURL *curl;
  const ingot_http_request *request;
  ingot_http_response *response;
  // What the body is, which is decided at its first byte: 0 not yet, 1 what was asked for, 2 something else.
  int kind;
  size_t passed;
} transfer;

// Of a body that is not wanted so much is read: then the connection can be used again if that was all.
static const size_t unwanted_limit = 65536;

static int kind_of_body(const transfer *t) {
  const ingot_http_request *request = t->request;
  const ingot_http_response *response = t->response;
  int ranged = request->last >= request->first;
  if (response->status == 200 && !ranged) return 1;
  // A server without ranges, whose whole file is what is wanted.
  if (response->status == 200)
    return request->first == 0 && request->last + 1 == request->size && response->length == request->size ? 1 : 2;
  int same_size = response->range_total < 0 || response->range_total == request->size;
  int same_range = response->range_first == request->first && response->range_last == request->last;
  return response->status == 206 && ranged && same_range && same_size ? 1 : 2;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context) {
  transfer *t = context;
  size *= count;
  atomic_fetch_add_explicit(&received_bytes, size, memory_order_relaxed);
  if (!t->kind) {
    lib.easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->response->status);
    t->kind = kind_of_body(t);
  }
  ingot_http_response *response = t->response;
  if (t->kind == 1) {
    size_t room = t->request->capacity - response->received;
    size_t taken = size < room ? size : room;
    memcpy(t->request->body + response->received, bytes, taken);
    response->received += taken;
    if (taken == size) return size;
    response->overlong = 1;
    return 0;
  }
  size_t room = sizeof response->text - response->text_length;
  size_t taken = size < room ? size : room;
  memcpy(response->text + response->text_length, bytes, taken);
  response->text_length += taken;
  t->passed += size;
  return t->passed > unwanted_limit ? 0 : size;
}

// The value of a header line if it has that name, without spaces around it; its length in `length`.
static const char *value_of(const char *line, size_t size, const char *name, size_t *length) {
  size_t width = strlen(name);
  if (size <= width || line[width] != ':' || strncasecmp(line, name, width)) return NULL;
  const char *start = line + width + 1, *end = line + size;
  while (start < end && (*start == ' ' || *start == '\t')) start++;
  while (end > start && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\t')) end--;
  *length = (size_t)(end - start);
  return start;
}

static void copy_header(const char *line, size_t size, const char *name, char *out, size_t room) {
  size_t length;
  const char *value = value_of(line, size, name, &length);
  if (!value || length >= room) return;
  memcpy(out, value, length);
  out[length] = 0;
}

// A number without a sign at `*at`, which moves behind it; -1 for none or one beyond 2^62.
static long long number_at(const char **at, const char *end) {
  long long value = 0;
  const char *start = *at;
  while (*at < end && **at >= '0' && **at <= '9') {
    if (value > ((1LL << 62) - 9) / 10) return -1;
    value = 10 * value + (*(*at)++ - '0');
  }
  return *at == start ? -1 : value;
}

static void number_header(const char *line, size_t size, const char *name, long long *out) {
  size_t length;
  const char *value = value_of(line, size, name, &length);
  if (value) *out = number_at(&value, value + length);
}

// `bytes FIRST-LAST/TOTAL`, or `bytes */TOTAL`.
static void range_header(const char *line, size_t size, ingot_http_response *response) {
  size_t length;
  const char *at = value_of(line, size, "Content-Range", &length);
  if (!at || length < 7 || strncasecmp(at, "bytes ", 6)) return;
  const char *end = at + length;
  at += 6;
  if (*at == '*') {
    at++;
  } else {
    response->range_first = number_at(&at, end);
    if (at == end || *at++ != '-') return;
    response->range_last = number_at(&at, end);
  }
  if (at == end || *at++ != '/') return;
  response->range_total = number_at(&at, end);
}

static void clear_headers(ingot_http_response *response) {
  response->range_first = response->range_last = response->range_total = response->length = -1;
  response->linked_size = -1;
  response->linked_etag[0] = response->commit[0] = response->error_code[0] = 0;
  response->error_message[0] = response->content_type[0] = 0;
}

static size_t take_header(char *line, size_t size, size_t count, void *context) {
  transfer *t = context;
  size *= count;
  ingot_http_response *response = t->response;
  // Another answer on the same connection: that of a proxy, or 100 Continue.
  if (size > 5 && !strncmp(line, "HTTP/", 5)) clear_headers(response);
  range_header(line, size, response);
  number_header(line, size, "Content-Length", &response->length);
  number_header(line, size, "X-Linked-Size", &response->linked_size);
  copy_header(line, size, "X-Linked-ETag", response->linked_etag, sizeof response->linked_etag);
  copy_header(line, size, "X-Repo-Commit", response->commit, sizeof response->commit);
  copy_header(line, size, "X-Error-Code", response->error_code, sizeof response->error_code);
  copy_header(line, size, "X-Error-Message", response->error_message, sizeof response->error_message);
  copy_header(line, size, "Content-Type", response->content_type, sizeof response->content_type);
  return size;
}

static int asked_to_stop(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
  (void)a, (void)b, (void)c, (void)d;
  const transfer *t = context;
  return t->request->stop && t->request->stop();
}

static void set_protocols(CURL *curl) {
#if LIBCURL_VERSION_NUM >= 0x075500
  lib.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  lib.easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

void ingot_http_get(ingot_http *connection, const ingot_http_request *request, ingot_http_response *response) {
  memset(response, 0, sizeof *response);
  clear_headers(response);
  response->retry_after = -1;
  CURL *curl = connection->curl;
  // Keeps connections, names and sessions.
  lib.easy_reset(curl);
  transfer t = {.curl = curl, .request = request, .response = response};
  char words[CURL_ERROR_SIZE] = "";
  struct curl_slist *headers = lib.slist_append(NULL, "Accept-Encoding: identity");
  char *authorization = NULL;
  if (request->authorization) {
    size_t length = strlen(request->authorization) + sizeof "Authorization: ";
    authorization = malloc(length);
    if (authorization) {
      memcpy(authorization, "Authorization: ", sizeof "Authorization: ");
      strcat(authorization, request->authorization);
      headers = lib.slist_append(headers, authorization);
    }
  }
  char range[64];
  if (request->last >= request->first) {
    snprintf(range, sizeof range, "%lld-%lld", request->first, request->last);
    lib.easy_setopt(curl, CURLOPT_RANGE, range);
  }
  lib.easy_setopt(curl, CURLOPT_URL, request->url);
  lib.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  lib.easy_setopt(curl, CURLOPT_USERAGENT, request->agent);
  set_protocols(curl);
  // Redirects are the caller's: the token must not follow them.
  lib.easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  // Several connections carry more than several streams of one.
  lib.easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  lib.easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  lib.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  lib.easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  lib.easy_setopt(curl, CURLOPT_BUFFERSIZE, 512L * 1024);
  lib.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, request->connect_seconds);
  lib.easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1024L);
  lib.easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, request->stall_seconds);
  if (request->certificates) lib.easy_setopt(curl, CURLOPT_CAINFO, request->certificates);
  lib.easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
  lib.easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  lib.easy_setopt(curl, CURLOPT_WRITEDATA, &t);
  lib.easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  lib.easy_setopt(curl, CURLOPT_HEADERDATA, &t);
  lib.easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  lib.easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, asked_to_stop);
  lib.easy_setopt(curl, CURLOPT_XFERINFODATA, &t);
  CURLcode code = lib.easy_perform(curl);
  response->code = code;
  snprintf(response->message, sizeof response->message, "%s", words[0] ? words : lib.easy_strerror(code));
  lib.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response->status);
  double connected = 0;
  lib.easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME, &connected);
  response->connected = connected > 0;
  curl_off_t wait = 0;
  if (lib.easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
    response->retry_after = wait > 1000000 ? 1000000 : (long)wait;
  char *target = NULL;
  lib.easy_getinfo(curl, CURLINFO_REDIRECT_URL, &target);
  if (target && strlen(target) < sizeof response->location) strcpy(response->location, target);
  lib.slist_free_all(headers);
  free(authorization);
}
