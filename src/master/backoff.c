/* Back-off: nothing at first, then doubling up to a limit.
 *
 * Pure: no clock, no state but the caller's. */
#include "master/backoff.h"

int64_t backoff_next(struct backoff *b, int64_t served)
{
    int64_t delay;

    if (served >= BACKOFF_FORGIVES)
        b->failures = 0;
    if (b->failures++ == 0)
        return 0;
    delay = (int64_t)BACKOFF_FIRST << (b->failures - 2);
    if (delay < BACKOFF_MOST)
        return delay;
    b->failures--; /* or the shift would overflow one day */
    return BACKOFF_MOST;
}
