/* Tests src/http/spread.c: who leaves the next connection to whom. */
#include "http/spread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOTS = 5, NOW = 100000 };

struct fixture {
    struct scoreboard *board;
    struct circle circles[SLOTS];
};

static int setup(void **state)
{
    static struct fixture f;
    int fd = scoreboard_create(SLOTS);

    f.board = scoreboard_map(fd);
    close(fd);
    if (!f.board)
        return -1;
    for (int i = 0; i < SLOTS; i++) {
        f.circles[i] = (struct circle){f.board, &f.board->slots[i], circle_name("shop", 1)};
        slot_set(f.circles[i].own, state, WORKER_SERVING);
        slot_set(f.circles[i].own, heartbeat, NOW);
        circle_enter(&f.circles[i]);
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    scoreboard_unmap(f->board);
    return 0;
}

/* Gives the workers these numbers of connections; -1: its door is shut. */
static void set(struct fixture *f, const int counts[static SLOTS])
{
    for (int i = 0; i < SLOTS; i++) {
        circle_say(&f->circles[i], counts[i] < 0 ? DOOR_SHUT : DOOR_OPEN);
        slot_set(f->circles[i].own, connections, (uint32_t)(counts[i] < 0 ? 0 : counts[i]));
        slot_set(f->circles[i].own, occupied, 0u);
    }
}

static bool yields(struct fixture *f, int i)
{
    bool yielded = circle_yield(&f->circles[i], NOW);

    assert_int_equal(slot_get(f->circles[i].own, door), yielded ? DOOR_STAND : DOOR_OPEN);
    circle_say(&f->circles[i], DOOR_OPEN);
    return yielded;
}

static void test_names(void **state)
{
    (void)state;
    assert_true(circle_name("shop", 1) != circle_name("shop", 2));
    assert_true(circle_name("shop", 1) != circle_name("blog", 1));
    assert_true(circle_name("shop", 1) == circle_name("shop", 1));
    assert_true(circle_name("", 0) != 0);
}

static void test_fewer_connections(void **state)
{
    static const struct {
        int counts[SLOTS];
        bool first;
    } cases[] = {
        {{0, 0, 0, 0, 0}, false},      {{2, 0, 0, 0, 0}, false},     {{3, 0, 0, 0, 0}, true},
        {{3, 3, 3, 3, 1}, false},      {{3, 9, 9, 9, 0}, true},      {{9, -1, -1, -1, -1}, false},
        {{64, 59, 70, 70, 70}, false}, {{64, 57, 70, 70, 70}, true}, {{3, -1, 1, 1, 1}, false},
        {{1, 9, 9, 9, 9}, false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set(f, cases[i].counts);
        assert_int_equal(yields(f, 0), cases[i].first);
    }
}

static void test_who_has_a_free_thread_goes_first(void **state)
{
    static const int equal[SLOTS] = {1, 1, 1, 1, 1}, busy[SLOTS] = {1, 90, 90, 90, 90};
    struct fixture *f = *state;

    set(f, busy);
    slot_set(f->circles[0].own, occupied, 1u);
    assert_true(yields(f, 0));
    assert_false(yields(f, 1)); /* it has more connections, but a thread for them */
    set(f, equal);
    for (int i = 0; i < SLOTS; i++)
        slot_set(f->circles[i].own, occupied, 1u);
    assert_false(yields(f, 0));
}

/* Those who do not take connections, or belong elsewhere, or do not live, have no say. */
static void test_who_counts(void **state)
{
    static const int counts[SLOTS] = {9, 0, -1, -1, -1};
    struct fixture *f = *state;
    struct slot *other = f->circles[1].own;

    set(f, counts);
    assert_true(yields(f, 0));
    slot_set(other, state, WORKER_DRAINING);
    assert_false(yields(f, 0));
    slot_set(other, state, WORKER_SERVING);
    slot_set(other, heartbeat, NOW - 5000);
    assert_false(yields(f, 0));
    slot_set(other, heartbeat, NOW - 4999);
    assert_true(yields(f, 0));
    slot_set(other, circle, circle_name("shop", 2));
    assert_false(yields(f, 0));
    circle_enter(&f->circles[1]);
    assert_true(yields(f, 0));
    circle_say(&f->circles[1], DOOR_STAND);
    assert_false(yields(f, 0));
    assert_true(circle_look(&f->circles[0], NOW).behind);
    assert_false(circle_look(&f->circles[0], NOW).better);
    circle_leave(&f->circles[1]);
    assert_false(circle_look(&f->circles[0], NOW).any);
}

static void test_alone(void **state)
{
    struct slot slot = {0};
    const struct circle alone = {NULL, &slot, 1};

    (void)state;
    circle_enter(&alone);
    slot_set(&slot, connections, 1000u);
    assert_false(circle_yield(&alone, NOW));
    assert_false(circle_look(&alone, NOW).any);
}

static void test_what_is_seen(void **state)
{
    static const int counts[SLOTS] = {4, 5, 3, -1, -1};
    struct fixture *f = *state;

    set(f, counts);
    slot_set(f->circles[1].own, accepted, 40u);
    slot_set(f->circles[2].own, accepted, 2u);
    assert_int_equal(circle_look(&f->circles[0], NOW).accepted, 42);
    assert_true(circle_look(&f->circles[0], NOW).any);
    assert_true(circle_look(&f->circles[0], NOW).less);
    assert_false(circle_look(&f->circles[2], NOW).less);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_fewer_connections),
        TEST(test_who_has_a_free_thread_goes_first),
        TEST(test_who_counts),
        TEST(test_alone),
        TEST(test_what_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
