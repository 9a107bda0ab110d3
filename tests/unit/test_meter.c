/* Meters: counts over two workers, what the death of one leaves, token buckets by a clock of ours,
 * and workers that take from one bucket at the same time. */
#include "base/meter.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/errors.h"

enum { SECOND = 1000000000 };

struct fixture {
    struct scoreboard *board;
    struct meter a, b; /* of two workers */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int board = scoreboard_create(2), fd = meter_create(2);

    f->board = scoreboard_map(board);
    slot_set(&f->board->slots[0], pid, 11);
    slot_set(&f->board->slots[1], pid, 12);
    assert_int_equal(meter_open(&f->a, fd, f->board, 0), 0);
    assert_int_equal(meter_open(&f->b, fd, f->board, 1), 0);
    close(board);
    close(fd);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    meter_close(&f->a);
    meter_close(&f->b);
    scoreboard_unmap(f->board);
    free(f);
    return 0;
}

static void knows_the_vectors(void **state)
{
    /* of the authors' reference implementation: key 00..0f, input 00..0e */
    static const uint8_t input[15] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    const struct siphash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};

    (void)state;
    assert_true(siphash(&key, slice_of((const char *)input, 15)) == 0xa129ca6149be45e5);
    assert_true(siphash(&key, slice_of(NULL, 0)) == 0x726fdb47dd0e0e31);
}

static void counts_over_workers(void **state)
{
    struct fixture *f = *state;
    uint64_t key = meter_key(&f->a, SLICE("client"));

    assert_true(key == meter_key(&f->b, SLICE("client")));
    assert_true(meter_enter(&f->a, key, 3));
    assert_true(meter_enter(&f->b, key, 3));
    assert_true(meter_enter(&f->a, key, 3));
    assert_false(meter_enter(&f->a, key, 3));
    assert_false(meter_enter(&f->b, key, 3));
    assert_true(meter_enter(&f->b, meter_key(&f->b, SLICE("another")), 3));
    meter_leave(&f->b, key);
    assert_true(meter_enter(&f->a, key, 3));
    assert_false(meter_enter(&f->b, key, 3));
}

static void forgets_the_dead(void **state)
{
    struct fixture *f = *state;
    uint64_t key = meter_key(&f->a, SLICE("client"));

    assert_true(meter_enter(&f->b, key, 1));
    assert_false(meter_enter(&f->a, key, 1));
    slot_set(&f->board->slots[1], pid, 0);
    assert_true(meter_enter(&f->a, key, 1));
}

static void begins_at_zero(void **state)
{
    struct fixture *f = *state;
    uint64_t key = meter_key(&f->a, SLICE("client"));
    int fd = meter_create(2);

    assert_int_equal(meter_open(&f->b, fd, f->board, 1), 0);
    assert_true(meter_enter(&f->b, key, 1));
    meter_close(&f->b);
    assert_int_equal(meter_open(&f->b, fd, f->board, 1), 0);
    assert_true(meter_enter(&f->b, key, 1));
    close(fd);
}

static void leaves_no_less_than_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t key = meter_key(&f->a, SLICE("client"));

    meter_leave(&f->a, key);
    assert_true(meter_enter(&f->a, key, 1));
    assert_false(meter_enter(&f->a, key, 1));
}

static void counts_many(void **state)
{
    struct fixture *f = *state;
    unsigned kept = 0;

    for (unsigned i = 0; i < 2000; i++) {
        uint64_t key = meter_key(&f->a, slice_of((const char *)&i, sizeof i));

        assert_true(meter_enter(&f->a, key, 1));
        kept += !meter_enter(&f->a, key, 1);
    }
    assert_in_range(kept, 1950, 2000);
}

static void fills_a_bucket_again(void **state)
{
    struct fixture *f = *state;
    const struct meter_rate rate = {SECOND / 10, 3}; /* 10 a second, 3 at once */
    uint64_t key = meter_key(&f->a, SLICE("client"));
    int64_t now = 5 * (int64_t)SECOND;

    assert_int_equal(meter_take(&f->a, key, &rate, now), 0);
    assert_int_equal(meter_take(&f->b, key, &rate, now), 0);
    assert_int_equal(meter_take(&f->a, key, &rate, now), 0);
    assert_int_equal(meter_take(&f->a, key, &rate, now), SECOND / 10);
    assert_int_equal(meter_take(&f->b, key, &rate, now + SECOND / 20), SECOND / 20);
    assert_int_equal(meter_take(&f->b, key, &rate, now + SECOND / 10), 0);
    assert_int_equal(meter_take(&f->b, key, &rate, now + SECOND / 10), SECOND / 10);
    for (int i = 0; i < 3; i++)
        assert_int_equal(meter_take(&f->a, key, &rate, now + SECOND), 0);
    assert_int_equal(meter_take(&f->a, key, &rate, now + SECOND), SECOND / 10);
    assert_int_equal(meter_take(&f->a, meter_key(&f->a, SLICE("other")), &rate, now), 0);
}

/* Another configuration, or a worker that writes what it likes, keeps nobody out for long. */
static void bounds_the_wait(void **state)
{
    struct fixture *f = *state;
    const struct meter_rate slow = {SECOND, 1000}, fast = {SECOND / 10, 1};
    uint64_t key = meter_key(&f->a, SLICE("client"));

    for (int i = 0; i < 1000; i++)
        assert_int_equal(meter_take(&f->a, key, &slow, SECOND), 0);
    assert_int_equal(meter_take(&f->a, key, &fast, SECOND), SECOND / 10);
}

static void refuses_what_is_not_its_own(void **state)
{
    struct fixture *f = *state;
    struct meter m;
    int small = meter_create(1), bare = memfd_create("x", MFD_CLOEXEC);

    assert_int_equal(meter_open(&m, small, f->board, 0), -ERR_SYSTEM);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(ftruncate(bare, (off_t)f->a.size), 0);
    assert_int_equal(meter_open(&m, bare, f->board, 0), -ERR_SYSTEM);
    close(small);
    small = meter_create(2);
    assert_int_equal(meter_open(&m, small, f->board, 2), -ERR_SYSTEM);
    close(small);
    close(bare);
    assert_int_equal(meter_create(0), -ERR_SYSTEM);
}

enum { TAKERS = 4, TRIES = 20000 };

struct taker {
    struct meter *meter;
    uint64_t key;
    int got;
};

static void *take_many(void *arg)
{
    const struct meter_rate rate = {SECOND, TRIES};
    struct taker *t = arg;

    for (int i = 0; i < TRIES; i++)
        t->got += meter_take(t->meter, t->key, &rate, SECOND) == 0;
    return NULL;
}

static void gives_each_token_once(void **state)
{
    struct fixture *f = *state;
    struct taker takers[TAKERS];
    pthread_t threads[TAKERS];
    int got = 0;

    for (int i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){i % 2 ? &f->a : &f->b, meter_key(&f->a, SLICE("client")), 0};
        pthread_create(&threads[i], NULL, take_many, &takers[i]);
    }
    for (int i = 0; i < TAKERS; i++) {
        pthread_join(threads[i], NULL);
        got += takers[i].got;
    }
    /* who loses the race for the place at the very beginning goes without it once */
    assert_in_range(got, TRIES, TRIES + TAKERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_vectors),
        cmocka_unit_test_setup_teardown(counts_over_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(forgets_the_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(begins_at_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_no_less_than_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_many, setup, teardown),
        cmocka_unit_test_setup_teardown(fills_a_bucket_again, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds_the_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_not_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_each_token_once, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
