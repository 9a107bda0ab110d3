/* Phrases of status codes: status.def as an array that the code indexes. */
#include "proto/status.h"

static const struct slice phrases[] = {
#define STATUS(code, phrase) [code] = {(phrase), sizeof(phrase) - 1},
#include "proto/status.def"
#undef STATUS
};

struct slice status_phrase(int status)
{
    int count = sizeof phrases / sizeof *phrases;

    return status >= 0 && status < count ? phrases[status] : slice_of(NULL, 0);
}
