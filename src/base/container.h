/* From a member back to the structure that holds it. */
#ifndef PENSTOCK_BASE_CONTAINER_H
#define PENSTOCK_BASE_CONTAINER_H

#include <stddef.h>

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
