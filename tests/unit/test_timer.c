/* Tests src/loop/timer.c: order, deadlines that move, bounds, and long mixed use against a plain
 * list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/container.h"
#include "loop/timer.h"

/* A timer that notes when it fired and may do something to others. */
struct owner {
    struct timer timer;
    struct timers *all;
    struct owner *other;
    int64_t again; /* the deadline it sets anew when it fires, if not 0 */
    unsigned order;
    unsigned fired;
    unsigned *clock;
};

static void note(struct timer *t)
{
    struct owner *o = container_of(t, struct owner, timer);

    o->fired++;
    o->order = o->clock ? (*o->clock)++ : 0;
    if (o->other) {
        timer_remove(o->all, &o->other->timer);
    }
    if (o->again) {
        timer_set(o->all, t, o->again);
    }
}

static void fires_in_order_of_deadlines(void **state)
{
    enum { N = 1000 };
    static struct owner owners[N];
    struct timers ts;
    unsigned order = 0;

    (void)state;
    timers_init(&ts);
    for (unsigned i = 0; i < N; i++) {
        owners[i] = (struct owner){.timer.fire = note, .clock = &order};
        assert_int_equal(timer_set(&ts, &owners[i].timer, i * 7919 % N), 0);
    }
    assert_int_equal(timers_next(&ts), 0);
    assert_int_equal(timers_fire(&ts, N / 2 - 1, N), N / 2);
    assert_int_equal(timers_fire(&ts, N, N), N / 2);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(owners[i].fired, 1);
        assert_int_equal(owners[i].order, i * 7919 % N);
        assert_int_equal(owners[i].timer.index, 0);
    }
    assert_int_equal(timers_next(&ts), TIMER_NEVER);
    timers_free(&ts);
}

static void nothing_fires_early_or_at_rest(void **state)
{
    struct timers ts;
    struct owner o = {.timer.fire = note};

    (void)state;
    timers_init(&ts);
    assert_int_equal(timers_next(&ts), TIMER_NEVER);
    assert_int_equal(timers_fire(&ts, TIMER_NEVER, 10), 0);
    assert_int_equal(timer_set(&ts, &o.timer, TIMER_NEVER), 0);
    assert_int_equal(ts.count, 0);
    timer_remove(&ts, &o.timer);
    timer_set(&ts, &o.timer, 10);
    assert_int_equal(timers_fire(&ts, 9, 10), 0);
    timer_set(&ts, &o.timer, TIMER_NEVER);
    assert_int_equal(timers_fire(&ts, 100, 10), 0);
    assert_int_equal(ts.count, 0);
    assert_int_equal(o.fired, 0);
    timers_free(&ts);
}

static void moving_later_is_one_store(void **state)
{
    struct timers ts;
    struct owner o = {.timer.fire = note};

    (void)state;
    timers_init(&ts);
    timer_set(&ts, &o.timer, 10);
    timer_set(&ts, &o.timer, 30);
    assert_int_equal(o.timer.queued, 10);
    assert_int_equal(timers_fire(&ts, 20, 10), 0);
    assert_int_equal(timers_next(&ts), 30);
    assert_int_equal(timers_fire(&ts, 30, 10), 1);
    assert_int_equal(o.timer.deadline, TIMER_NEVER);
    timers_free(&ts);
}

static void moving_earlier_takes_effect(void **state)
{
    struct timers ts;
    struct owner a = {.timer.fire = note}, b = {.timer.fire = note};

    (void)state;
    timers_init(&ts);
    timer_set(&ts, &a.timer, 50);
    timer_set(&ts, &b.timer, 100);
    timer_set(&ts, &b.timer, 20);
    assert_int_equal(timers_next(&ts), 20);
    assert_int_equal(timers_fire(&ts, 20, 10), 1);
    assert_int_equal(b.fired, 1);
    assert_int_equal(a.fired, 0);
    timers_free(&ts);
}

static void steps_are_bounded(void **state)
{
    struct timers ts;
    struct owner owners[10];

    (void)state;
    timers_init(&ts);
    for (int i = 0; i < 10; i++) {
        owners[i] = (struct owner){.timer.fire = note, .all = &ts, .again = 1};
        timer_set(&ts, &owners[i].timer, 1);
    }
    assert_int_equal(timers_fire(&ts, 1, 4), 4);
    assert_int_equal(ts.count, 10);
    for (int i = 0; i < 10; i++) {
        timer_set(&ts, &owners[i].timer, 100);
    }
    assert_int_equal(timers_fire(&ts, 1, 4), 0);
    assert_int_equal(timers_next(&ts), 1); /* six still to be moved */
    assert_int_equal(timers_fire(&ts, 1, 6), 0);
    assert_int_equal(timers_next(&ts), 100);
    timers_free(&ts);
}

static void a_function_may_set_itself_and_remove_others(void **state)
{
    struct timers ts;
    struct owner a = {.timer.fire = note, .all = &ts, .again = 7};
    struct owner b = {.timer.fire = note};

    (void)state;
    timers_init(&ts);
    a.other = &b;
    timer_set(&ts, &a.timer, 5);
    timer_set(&ts, &b.timer, 6);
    assert_int_equal(timers_fire(&ts, 6, 10), 1);
    assert_int_equal(b.fired, 0);
    assert_int_equal(a.timer.deadline, 7);
    assert_int_equal(timers_next(&ts), 7);
    timers_free(&ts);
    assert_int_equal(a.timer.index, 0);
}

/* A fixed sequence, so that a failure can be seen again. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Every parent is no later than its children, and every index is right. */
static void check_heap(const struct timers *ts)
{
    for (uint32_t i = 0; i < ts->count; i++) {
        assert_int_equal(ts->heap[i]->index, i + 1);
        assert_true(ts->heap[i]->queued <= ts->heap[i]->deadline);
        assert_true(i == 0 || ts->heap[(i - 1) / 2]->queued <= ts->heap[i]->queued);
    }
}

static void long_use_agrees_with_a_list(void **state)
{
    enum { N = 200 };
    static struct owner owners[N];
    static int64_t model[N]; /* deadlines */
    static unsigned expected[N];
    struct timers ts;
    uint32_t seed = 7;
    int64_t now = 0;

    (void)state;
    timers_init(&ts);
    for (int i = 0; i < N; i++) {
        owners[i] = (struct owner){.timer.fire = note};
        model[i] = TIMER_NEVER;
        expected[i] = 0;
    }
    for (int step = 0; step < 50000; step++) {
        uint32_t i = next_random(&seed) % N;

        switch (next_random(&seed) % 8) {
        case 0:
            timer_remove(&ts, &owners[i].timer);
            model[i] = TIMER_NEVER;
            break;
        case 1:
            timer_set(&ts, &owners[i].timer, TIMER_NEVER);
            model[i] = TIMER_NEVER;
            break;
        case 2:
            now += next_random(&seed) % 20;
            timers_fire(&ts, now, UINT32_MAX);
            for (int k = 0; k < N; k++) {
                expected[k] += model[k] <= now;
                model[k] = model[k] <= now ? TIMER_NEVER : model[k];
                assert_int_equal(owners[k].fired, expected[k]);
            }
            break;
        default:
            model[i] = now + next_random(&seed) % 100;
            timer_set(&ts, &owners[i].timer, model[i]);
            break;
        }
        check_heap(&ts);
    }
    timers_free(&ts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_in_order_of_deadlines),
        cmocka_unit_test(nothing_fires_early_or_at_rest),
        cmocka_unit_test(moving_later_is_one_store),
        cmocka_unit_test(moving_earlier_takes_effect),
        cmocka_unit_test(steps_are_bounded),
        cmocka_unit_test(a_function_may_set_itself_and_remove_others),
        cmocka_unit_test(long_use_agrees_with_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
