/* The process title: what ps shows. */
#ifndef PENSTOCK_MASTER_TITLE_H
#define PENSTOCK_MASTER_TITLE_H

#include <stddef.h>

/* Where a title is written: over the arguments and, where that is longer, the environment. */
struct title {
    char *start;
    size_t arguments, room;
};

/* Takes over the arguments that main() got; they must not be used once a title was shown. */
void title_open(struct title *t, char **argv);

/* Shows `text`, cut to the room there is. The environment stays as it was. */
void title_show(const struct title *t, const char *text);

#endif
