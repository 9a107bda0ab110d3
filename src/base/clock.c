/* Clocks: the time of a loop's turn, and how it is written.
 *
 * Both clocks are read through the vDSO, without a system call. The monotonic one is the exact
 * clock: the coarse one is as old as the last tick, up to 10 ms, which is too much where time
 * limits are in milliseconds. For the wall clock's second the coarse one does, and is the one the
 * kernel stamps files with, so that Last-Modified is never later than Date. The date is formed by
 * arithmetic: strftime asks for the locale, gmtime for the time zone's lock.
 *
 * Relies on clock_gettime, which cannot fail for these clocks. Never allocates. */
#include "base/clock.h"

#include <time.h>

/* The days of "0001-01-01" to "9999-12-31": what has four digits. */
#define SECONDS_FIRST (-62135596800)
#define SECONDS_LAST  253402300799

enum { DAY = 86400 };

struct civil {
    unsigned year, month, day; /* month and day from 1 */
    unsigned hour, minute, second;
    unsigned weekday; /* 0: Sunday */
};

/* Years begin with March here, so that the leap day is a year's last; a cycle of the calendar is
 * 400 years long. */
static void civil_date(struct civil *c, int64_t days_since_1970)
{
    unsigned days = (unsigned)(days_since_1970 + 719468); /* since 0000-03-01 */
    unsigned cycle = days / 146097;
    unsigned of_cycle = days % 146097;
    unsigned year = (of_cycle - of_cycle / 1460 + of_cycle / 36524 - of_cycle / 146096) / 365;
    unsigned of_year = of_cycle - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153; /* 0: March */

    c->day = of_year - (153 * month + 2) / 5 + 1;
    c->month = month < 10 ? month + 3 : month - 9;
    c->year = cycle * 400 + year + (c->month <= 2);
    c->weekday = (days + 3) % 7;
}

static struct civil civil_of(int64_t seconds)
{
    struct civil c;
    int64_t days;
    unsigned rest;

    seconds = seconds < SECONDS_FIRST ? SECONDS_FIRST : seconds;
    seconds = seconds > SECONDS_LAST ? SECONDS_LAST : seconds;
    days = (seconds - SECONDS_FIRST) / DAY + SECONDS_FIRST / DAY;
    rest = (unsigned)((seconds - SECONDS_FIRST) % DAY);
    civil_date(&c, days);
    c.hour = rest / 3600;
    c.minute = rest / 60 % 60;
    c.second = rest % 60;
    return c;
}

/* Writes `n` as `digits` decimal digits and returns the place behind them. */
static char *put_number(char *out, unsigned n, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + n % 10);
        n /= 10;
    }
    return out + digits;
}

static char *put_text(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

static char *put_time(char *out, const struct civil *c)
{
    out = put_number(out, c->hour, 2);
    *out++ = ':';
    out = put_number(out, c->minute, 2);
    *out++ = ':';
    return put_number(out, c->second, 2);
}

void clock_http_date(int64_t seconds, char out[static CLOCK_DATE_LEN + 1])
{
    static const char days[] = "Sun, Mon, Tue, Wed, Thu, Fri, Sat, ";
    static const char months[] = " Jan  Feb  Mar  Apr  May  Jun  Jul  Aug  Sep  Oct  Nov  Dec ";
    struct civil c = civil_of(seconds);

    out = put_text(out, days + 5 * (size_t)c.weekday, 5);
    out = put_number(out, c.day, 2);
    out = put_text(out, months + 5 * (size_t)(c.month - 1), 5);
    out = put_number(out, c.year, 4);
    *out++ = ' ';
    out = put_time(out, &c);
    put_text(out, " GMT", sizeof(" GMT"));
}

static void put_stamp(const struct timespec *ts, char *out)
{
    struct civil c = civil_of(ts->tv_sec);

    out = put_number(out, c.year, 4);
    *out++ = '-';
    out = put_number(out, c.month, 2);
    *out++ = '-';
    out = put_number(out, c.day, 2);
    *out++ = 'T';
    out = put_time(out, &c);
    *out++ = '.';
    out = put_number(out, (unsigned)(ts->tv_nsec / 1000000), 3);
    put_text(out, "Z", sizeof("Z"));
}

void clock_stamp(char out[static CLOCK_STAMP_LEN + 1])
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    put_stamp(&ts, out);
}

int64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void clock_update(struct clock *c)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    if (ts.tv_sec != c->wall || c->date[0] == '\0') {
        c->wall = ts.tv_sec;
        clock_http_date(c->wall, c->date);
    }
    c->now = clock_ns() / 1000000;
}
