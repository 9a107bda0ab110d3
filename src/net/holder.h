/* Who holds a socket: for the sentence that tells why an address could not be had, and to find a
 * process that is known by its socket alone. */
#ifndef PENSTOCK_NET_HOLDER_H
#define PENSTOCK_NET_HOLDER_H

#include <stddef.h>
#include <sys/types.h>

#include "net/address.h"

/* Writes " by nginx (pid 812)" into out, or nothing when the kernel does not tell us. */
void holder_text(const struct address *a, char *out, size_t size);

/* The child of this process that has the socket of this inode among its descriptors; 0 when there
 * is none, or the kernel does not tell. */
pid_t holder_child(ino_t inode);

#endif
