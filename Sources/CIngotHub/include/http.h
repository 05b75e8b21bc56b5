#ifndef INGOT_HTTP_H
#define INGOT_HTTP_H

#include <stddef.h>

// HTTP requests by libcurl, whose options take arguments that Swift cannot pass. One connection serves one thread at a
// time and is kept open for the next request to the same host.

// libcurl is loaded when it is first needed, so that the command runs where it is missing. NULL when it is there, else why not.
const char *ingot_http_missing(void);

typedef struct ingot_http ingot_http;

typedef struct {
  const char *url;
  // Value of the Authorization header; NULL for none.
  const char *authorization;
  const char *agent;
  // A file of trusted certificates in place of the system's; NULL for these.
  const char *certificates;
  // The bytes that are asked for, both ends included; none are named when `last` is less than `first`.
  long long first, last;
  // Of the file that the range is of: bytes of a file of another size are not taken.
  long long size;
  // A connection that takes longer to come about has failed; one that brings fewer than 1,024 bytes a second for as
  // long as `stall_seconds` too.
  long connect_seconds, stall_seconds;
  // Where the body goes, and how long it may be.
  unsigned char *body;
  size_t capacity;
  // Asked about once a second: whether to give up. NULL for never.
  int (*stop)(void);
} ingot_http_request;

typedef struct {
  // libcurl's code, 0 for an answer that came whole, and its words.
  int code;
  char message[256];
  // Whether a connection was made at all, and whether what came was more than the server was asked for.
  int connected, overlong;
  long status;
  // Bytes of the body in the caller's memory: of a 200 without a range, of a 206 for the very range, and of a 200 for a
  // range from byte 0 that turns out to be all of the file.
  size_t received;
  // Of Content-Range and Content-Length; -1 for what the server does not say.
  long long range_first, range_last, range_total, length;
  // X-Linked-Size; -1 for none.
  long long linked_size;
  // In seconds, of a number or a date; -1 for none.
  long retry_after;
  // Where a redirect leads, made absolute; empty for none.
  char location[4096];
  char linked_etag[256], commit[64], error_code[64], error_message[512], content_type[128];
  // The beginning of a body that is not what was asked for.
  char text[512];
  size_t text_length;
} ingot_http_response;

// NULL when there is no memory, or libcurl is missing.
ingot_http *ingot_http_begin(void);
void ingot_http_end(ingot_http *connection);
void ingot_http_get(ingot_http *connection, const ingot_http_request *request, ingot_http_response *response);

// Bytes of bodies that all connections have brought so far.
unsigned long long ingot_http_received(void);

#endif
