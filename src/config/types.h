/* What an option's field can hold beside numbers and texts.
 *
 * All of it points into the arena of the configuration it came from, and ends with it. */
#ifndef PENSTOCK_CONFIG_TYPES_H
#define PENSTOCK_CONFIG_TYPES_H

#include <stdbool.h>
#include <stdint.h>

struct text_list {
    const char **items;
    unsigned count;
};

/* Values by key, in the order of the keys' bytes. */
struct text_pair {
    const char *key;
    const char *value;
};

struct text_table {
    struct text_pair *items;
    unsigned count;
};

struct int_list {
    int64_t *items;
    unsigned count;
};

#endif
