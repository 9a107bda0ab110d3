/* How long the HTTP/1 codec takes for one head: decoding of four requests, encoding of one answer.
 *
 * No target builds this. By hand, with BUILD a build folder of meson's (for the generated header):
 *   cc -O2 -D_GNU_SOURCE -std=gnu17 -I src -I BUILD/src -o micro_h1 bench/micro_h1.c
 * src/proto/[a-z]*.c \ src/base/buf.c src/base/errors.c && ./micro_h1 Prints nanoseconds a head:
 * the best of several rounds, which is what the code costs when nothing interferes. */
#include <stdio.h>
#include <time.h>

#include "proto/h1.h"

enum { ROUNDS = 20, HEADS = 20000, FIELDS = 100 };

static const struct h1_limits limits = {.line = 16384, .head = 65536, .fields = FIELDS};

#define HELLO "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"

#define CURL                                                                                       \
    "GET /hello?name=penstock HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/7.88.1\r\n"     \
    "Accept: */*\r\n\r\n"

#define COOKIE_64 "k0123456=abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0; "
#define COOKIE_1K                                                                                  \
    COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64      \
        COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64 COOKIE_64

#define BROWSER                                                                                    \
    "GET /shop/articles/2471?sort=price&order=asc HTTP/1.1\r\nHost: www.shop.example\r\n"          \
    "Connection: keep-alive\r\nCache-Control: max-age=0\r\n"                                       \
    "sec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n"      \
    "sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n"                            \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "          \
    "Chrome/124.0.0.0 Safari/537.36\r\n"                                                           \
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*\r\n"  \
    "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n"            \
    "Sec-Fetch-Dest: document\r\nReferer: https://www.shop.example/shop/\r\n"                      \
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void decode(struct slice in)
{
    static struct field fields[FIELDS];
    struct h1_decoder d;
    struct h1_request r;

    h1_decoder_init(&d, &limits, fields);
    if (h1_decode_head(&d, in, &r) != (int)in.len) {
        puts("the head was refused");
    }
    __asm__ volatile("" : : "g"(&r) : "memory");
}

static void encode(struct buf *b)
{
    static const struct field fields[] = {
        {.name = {"Content-Type", 12}, .value = {"text/plain; charset=utf-8", 25}},
        {.name = {"X-Frame-Options", 15}, .value = {"DENY", 4}},
    };

    h1_encode_head(b, 200, slice_of(NULL, 0), fields, 2);
    h1_encode_length(b, 13);
    h1_encode_end(b);
    buf_take(b, buf_len(b));
}

/* The best of the rounds for one head; an empty `in` is the answer. */
static void measure(const char *name, struct slice in, struct buf *b)
{
    double best = 1e18;

    for (int round = 0; round < ROUNDS; round++) {
        double begun = now(), each;

        for (int i = 0; i < HEADS; i++) {
            if (in.len) {
                decode(in);
            } else {
                encode(b);
            }
        }
        each = (now() - begun) / HEADS;
        best = each < best ? each : best;
    }
    printf("%-24s %6zu bytes %8.1f ns\n", name, in.len, best);
}

int main(void)
{
    struct buf b;

    buf_init(&b, 4096);
    measure("hello", SLICE(HELLO), &b);
    measure("curl", SLICE(CURL), &b);
    measure("browser", SLICE(BROWSER "\r\n"), &b);
    measure("browser, 1 KB of cookies", SLICE(BROWSER "Cookie: " COOKIE_1K "x=y\r\n\r\n"), &b);
    measure("answer", slice_of(NULL, 0), &b);
    buf_free(&b);
    return 0;
}
