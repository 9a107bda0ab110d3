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

void title_open(struct title *t, char **argv)
{
    t->start = argv[0];
    t->arguments = extent(t->start, argv);
    t->room = t->arguments + extent(t->start + t->arguments, environ);
}

void title_show(const struct title *t, const char *text)
{
    size_t len = strlen(text);

    if (len + 1 > t->room)
        len = t->room - 1;
    if (len >= t->arguments && !move_environment(t->start, t->start + len + 1))
        len = t->arguments - 1;
    memset(t->start, 0, len >= t->arguments ? len + 1 : t->arguments);
    memcpy(t->start, text, len);
}
