/* The canonical configuration: what the launcher checked and wrote, as C structures.
 *
 * The launcher fills in every default, resolves every name and path, and writes one JSON object
 * with sorted keys into a memfd, which master and workers inherit. The fields come from
 * penstock/options.toml: options.h has them, named as the options with '_' for '-'. Durations are
 * milliseconds, sizes bytes.
 *
 * Threads: any; a configuration is not changed after it was read. */
#ifndef PENSTOCK_CONFIG_CONFIG_H
#define PENSTOCK_CONFIG_CONFIG_H

#include <stddef.h>

#include "base/arena.h"
#include "config/options.h"

/* The version of the canonical configuration: launcher, master and extension must agree. */
enum { CONFIG_VERSION = 1 };

struct config {
    struct server_options server;
    struct listen_options *listen; /* at least one */
    unsigned listen_count;
    struct app_options *app; /* at least one, in the order of their names */
    unsigned app_count;
    struct arena arena; /* holds everything the fields point to */
};

/* Reads the configuration behind `fd` from its beginning, wherever its offset stands, so that many
 * processes can read the same memfd. Nothing is trusted: a version, key, type or range that is not
 * as the table of options has it, a key that is missing or one too many is -ERR_CONFIG, as is a
 * file that is too large; reading can fail with -ERR_SYSTEM, memory run out with -ERR_MEMORY. Then
 * `why` (of `size` bytes) says what is wrong and `out` holds nothing to free. */
int config_read(int fd, struct config *out, char *why, size_t size);

/* Frees what config_read filled. */
void config_free(struct config *c);

/* The application of that name, or NULL. */
const struct app_options *config_app(const struct config *c, const char *name);

#endif
