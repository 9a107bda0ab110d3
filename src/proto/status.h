/* Status codes and their phrases (RFC 9110 section 15 and the IANA registry). */
#ifndef PENSTOCK_PROTO_STATUS_H
#define PENSTOCK_PROTO_STATUS_H

#include "base/slice.h"

/* The standard phrase, NUL-terminated; empty for a code that has none. */
struct slice status_phrase(int status);

#endif
