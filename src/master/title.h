/* The process title: what ps shows. */
#ifndef PENSTOCK_MASTER_TITLE_H
#define PENSTOCK_MASTER_TITLE_H

/* Shows `title` instead of the arguments that main() got, cut to the room that arguments and
 * environment had. To be called once; argv must not be used afterwards. The environment stays as it
 * was. */
void title_set(char **argv, const char *title);

#endif
