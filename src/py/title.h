/* The process title: what ps and top show. */
#ifndef PENSTOCK_PY_TITLE_H
#define PENSTOCK_PY_TITLE_H

/* Shows `title` instead of the arguments the process was executed with, cut to the room they had;
 * and its beginning as the process's short name. Does nothing where the kernel does not tell where
 * the arguments are. */
void title_set(const char *title);

#endif
