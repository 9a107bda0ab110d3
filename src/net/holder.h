/* Who holds a port or a Unix socket: for the sentence that tells why it could not be had. */
#ifndef PENSTOCK_NET_HOLDER_H
#define PENSTOCK_NET_HOLDER_H

#include <stddef.h>

#include "net/address.h"

/* Writes " by nginx (pid 812)" into out, or nothing when the kernel does not tell us. */
void holder_text(const struct address *a, char *out, size_t size);

#endif
