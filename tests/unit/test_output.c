/* Tests src/http/output.c: any mixture of pieces leaves in its order, whatever the socket takes at
 * once and whatever of it is moved to a file meanwhile, and every hold is released once. */
#include "http/output.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container.h"
#include "http/server.h"

enum { MOST = 400, LARGE = 20000 };

struct held {
    struct hold hold;
    unsigned released;
};

struct fixture {
    struct app_options options;
    struct server server;
    struct output out;
    struct held held[MOST];
    unsigned holds;
    int ends[2];
    int file;
    char content[LARGE];
    char want[MOST * LARGE], got[MOST * LARGE];
    size_t wanted, have;
    uint64_t sent;
    uint64_t random;
};

static unsigned random_below(struct fixture *f, unsigned n)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(f->random >> 33) % n;
}

static void released(struct hold *h)
{
    container_of(h, struct held, hold)->released++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int small = 4096;
    f->options.spool_limit = 1 << 30;
    f->server.options = &f->options;
    f->server.slot = &f->server.own_slot;
    f->random = 1;
    output_init(&f->out, &f->server);
    for (size_t i = 0; i < sizeof f->content; i++)
        f->content[i] = (char)random_below(f, 256);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->ends), 0);
    setsockopt(f->ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    f->file = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(write(f->file, f->content, sizeof f->content), sizeof f->content);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    output_drop(&f->out);
    for (unsigned i = 0; i < f->holds; i++)
        assert_int_equal(f->held[i].released, 1);
    assert_int_equal(f->server.spools.used, 0);
    assert_int_equal(f->out.spool.fd, -1);
    close(f->ends[0]);
    close(f->ends[1]);
    close(f->file);
    free(f);
    return 0;
}

/* Appends a piece of one of the three kinds. */
static void append(struct fixture *f, unsigned kind)
{
    unsigned at = random_below(f, LARGE / 2), n = 1 + random_below(f, kind ? LARGE / 2 : 2000);
    struct chunk c = {.kind = CHUNK_BYTES, .bytes = slice_of(f->content + at, n)};
    if (kind == 2)
        c = (struct chunk){.kind = CHUNK_FILE, .fd = f->file, .offset = at, .length = n};
    if (kind) {
        f->held[f->holds] = (struct held){{released}, 0};
        c.hold = &f->held[f->holds++].hold;
    }
    assert_int_equal(output_chunk(&f->out, &c), 0);
    memcpy(f->want + f->wanted, f->content + at, n);
    f->wanted += n;
}

/* Takes up to `most` bytes from the other end. */
static void take(struct fixture *f, size_t most)
{
    ssize_t n = recv(f->ends[1], f->got + f->have, most, 0);
    if (n > 0)
        f->have += (size_t)n;
}

static void mixtures_keep_their_order(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < MOST; i++) {
        append(f, random_below(f, 3));
        if (random_below(f, 4) == 0)
            assert_int_equal(output_spool(&f->out, 1 << 30), 0);
        if (random_below(f, 3) == 0)
            assert_true(output_flush(&f->out, f->ends[0], &f->sent) >= 0);
        take(f, random_below(f, 5000));
        assert_int_equal(f->out.pending, f->wanted - f->sent);
        assert_true(output_memory(&f->out) >= 0);
        assert_true(f->out.spooled <= f->out.filed);
    }
    while (f->out.count) {
        assert_true(output_flush(&f->out, f->ends[0], &f->sent) >= 0);
        take(f, 100000);
    }
    while (f->have < f->sent)
        take(f, 100000);
    assert_int_equal(f->have, f->wanted);
    assert_memory_equal(f->got, f->want, f->wanted);
    assert_int_equal(f->out.held, 0);
    assert_int_equal(f->out.filed, 0);
}

static void a_file_takes_the_memory(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 50; i++)
        append(f, (unsigned)i % 2);
    assert_true(output_memory(&f->out) > 0);
    assert_int_equal(output_spool(&f->out, 1 << 30), 0);
    assert_int_equal(output_memory(&f->out), 0);
    assert_int_equal(f->out.count, 1);
    assert_null(f->out.bytes.ptr);
    for (unsigned i = 0; i < f->holds; i++)
        assert_int_equal(f->held[i].released, 1);
    assert_int_equal(f->server.spools.used, f->wanted);
}

static void a_file_has_a_cap(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++)
        append(f, 1);
    int64_t memory = output_memory(&f->out);
    assert_int_equal(output_spool(&f->out, memory - 1), -ERR_FULL);
    assert_int_equal(output_memory(&f->out), memory);
    assert_int_equal(output_spool(&f->out, memory), 0);
    append(f, 1);
    assert_int_equal(output_spool(&f->out, memory), -ERR_FULL);
    while (f->out.count) {
        assert_true(output_flush(&f->out, f->ends[0], &f->sent) >= 0);
        take(f, 100000);
    }
    append(f, 1);
    assert_int_equal(output_spool(&f->out, memory), 0);
}

static void what_cannot_be_moved_stays(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++)
        append(f, (unsigned)i % 2);
    f->options.spool_limit = output_memory(&f->out) / 2;
    assert_int_equal(output_spool(&f->out, 1 << 30), -ERR_SPOOL_LIMIT);
    assert_true(output_memory(&f->out) > 0);
    while (f->have < f->wanted) {
        assert_true(output_flush(&f->out, f->ends[0], &f->sent) >= 0);
        take(f, 100000);
    }
    assert_memory_equal(f->got, f->want, f->wanted);
}

static void a_file_that_became_shorter(void **state)
{
    struct fixture *f = *state;
    int rc = 0;
    append(f, 2);
    assert_int_equal(ftruncate(f->file, 0), 0);
    rc = output_flush(&f->out, f->ends[0], &f->sent);
    assert_int_equal(rc, -ERR_SHORT_BODY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(mixtures_keep_their_order),  TEST(a_file_takes_the_memory),    TEST(a_file_has_a_cap),
        TEST(what_cannot_be_moved_stays), TEST(a_file_that_became_shorter),
#undef TEST
    };
    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
