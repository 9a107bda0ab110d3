/* The process title.
 *
 * The kernel shows the bytes where the arguments stood when the program was executed. The
 * environment follows them, and when the last byte of the arguments is not NUL any more, the kernel
 * goes on into it; so there is room for a title that is longer than the arguments were. What
 * stands there of the environment is copied first. */
#include "master/title.h"

#include <string.h>
#include <unistd.h>

/* How many bytes `strings` take from `start` on, as far as they stand one behind the other. */
static size_t extent(char *start, char **strings)
{
    char *end = start;

    for (char **s = strings; *s && *s == end; s++)
        end += strlen(*s) + 1;
    return (size_t)(end - start);
}

/* Moves what stands of the environment below `limit`; 0 when memory is out. */
static int move_environment(const char *start, const char *limit)
{
    for (char **e = environ; *e; e++) {
        char *copy = *e >= start && *e < limit ? strdup(*e) : *e;

        if (!copy)
            return 0;
        *e = copy;
    }
    return 1;
}

void title_set(char **argv, const char *title)
{
    char *start = argv[0];
    size_t arguments = extent(start, argv);
    size_t room = arguments + extent(start + arguments, environ);
    size_t len = strlen(title);

    if (len + 1 > room)
        len = room - 1;
    if (len >= arguments && !move_environment(start, start + len + 1))
        len = arguments - 1;
    memset(start, 0, arguments);
    memcpy(start, title, len);
    start[len] = '\0';
}
