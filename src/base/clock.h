/* Clocks: what time it is, asked of the kernel once for each turn of a loop.
 *
 * `now` is monotonic and drives every time limit; the wall clock is for people: logs and the Date
 * field (RFC 9110, section 5.6.7), which is written once a second. */
#ifndef PENSTOCK_BASE_CLOCK_H
#define PENSTOCK_BASE_CLOCK_H

#include <stdint.h>

#include "base/slice.h"

enum { CLOCK_DATE_LEN = 29 }; /* "Sun, 06 Nov 1994 08:49:37 GMT" */

struct clock {
    int64_t now;  /* monotonic, milliseconds */
    int64_t wall; /* of the Unix epoch, seconds, that `date` is of */
    char date[CLOCK_DATE_LEN + 1];
};

/* Monotonic nanoseconds, asked now. */
int64_t clock_ns(void);

/* Asks both clocks; `date` is written anew only when the second has changed. Also makes a zeroed
 * clock valid. */
void clock_update(struct clock *c);

static inline struct slice clock_date(const struct clock *c)
{
    return slice_of(c->date, CLOCK_DATE_LEN);
}

/* Writes the wall clock's time as "2026-11-22T10:00:00.123Z" (RFC 3339) with a NUL into out. */
enum { CLOCK_STAMP_LEN = 24 };
void clock_stamp(char out[static CLOCK_STAMP_LEN + 1]);

/* Writes `seconds` of the Unix epoch as the Date field has it, with a NUL. */
void clock_http_date(int64_t seconds, char out[static CLOCK_DATE_LEN + 1]);

#endif
