/* The process title (title.h has the contract).
 *
 * The kernel shows the bytes where the arguments stood at exec; /proc/self/stat says where that is.
 * Python has long copied its arguments, so they can be overwritten. The master passes one long
 * argument to make room; the last byte stays NUL, or the kernel would show the environment behind
 * it, too. */
#include "py/title.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    ARG_START = 48 - 2,
    STAT_SIZE = 2048
}; /* fields behind the command, which may hold spaces */

/* Finds where the arguments begin and end. */
static bool find_arguments(char **start, char **end)
{
    char stat[STAT_SIZE];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, stat, sizeof stat - 1) : -1;
    if (fd >= 0)
        close(fd);
    stat[n > 0 ? n : 0] = '\0';
    char *field = strrchr(stat, ')');
    for (int i = 0; field && i < ARG_START; i++)
        field = strchr(field + 1, ' ');
    if (!field)
        return false;
    *start = (char *)(uintptr_t)strtoull(field, &field, 10);
    *end = (char *)(uintptr_t)strtoull(field, NULL, 10);
    return *start && *start < *end;
}

void title_set(const char *title)
{
    char *start, *end;
    prctl(PR_SET_NAME, title);
    if (!find_arguments(&start, &end))
        return;
    size_t room = (size_t)(end - start) - 1, len = strlen(title);
    if (len > room)
        len = room;
    memset(start, 0, room + 1);
    memcpy(start, title, len);
}
