/* Who the client is, and what it asked for, when proxies stand in between.
 *
 * Proxies tell: a PROXY header before the first byte of a connection, Forwarded and X-Forwarded-*
 * fields in a request. They are believed from the peers alone that forwarded-allow-ips names: lists
 * are followed from their end, past hops that are named, and the first that is not is the client.
 * Of what others tell nothing is believed and, without keep-untrusted-forwarded, nothing reaches
 * the application. docs/behind-a-proxy.md says which field does what.
 *
 * Threads: the loop's holder. */
#ifndef PENSTOCK_HTTP_CLIENT_H
#define PENSTOCK_HTTP_CLIENT_H

#include "config/options.h"
#include "http/exchange.h"
#include "net/network.h"

/* What the configuration says of it; in struct server, made by client_rules_init(). */
struct client_rules {
    struct network *trusted; /* NULL: nobody */
    unsigned trusted_count;
    unsigned believed; /* a bit for each header_id of forwarded-fields, from HEADER_FORWARDED on */
};

/* Reads the server's options. Returns 0, -ERR_MEMORY or -ERR_CONFIG. */
int client_rules_init(struct client_rules *r, const struct app_options *options);
void client_rules_free(struct client_rules *r);

bool client_is_trusted(const struct server *s, const struct address *a);

/* Reads the PROXY header of a connection and puts the ends that it tells into *ends. `in` is every
 * byte that has come. Returns the bytes taken, 0 when more are needed, or -ERR_PROXY_x with which
 * to close; a peer that is not trusted is refused before its first byte. */
int client_read_proxy(struct server *s, struct slice in, struct ends *ends);

/* Finds out who sent this request: x->ends, x->request and what else is told become what the
 * application is to see. To be called once, when the head is in: exchange_begin does. Returns 0 or
 * -ERR_MEMORY. A request without any such field costs one look at its fields. */
int client_identify(struct exchange *x);

#endif
