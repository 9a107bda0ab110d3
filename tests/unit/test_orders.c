/* Tests src/master/orders.c: the whole table, every pair of a state and an order. */
#include "master/orders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* The table once more, as people would write it down: a row for each state, in the order of the
 * orders RELOAD CHECKED REFUSED READY FAILED MORE FEWER REST DRAIN STOP. A pair is deed>state,
 * a dot nothing. */
static const char *const expected[MASTER_STATES][ORDERS] = {
    [MASTER_STARTING] = {"WAIT>PENDING", ".", ".", "SWITCH>SERVING", "FAIL>STOPPING", ".", ".", ".",
                         "DRAIN>DRAINING", "STOP>STOPPING"},
    [MASTER_PENDING] = {"WAIT>PENDING", ".", ".", "SWITCH_CHECK>CHECKING", "FAIL>STOPPING", ".",
                        ".", ".", "DRAIN>DRAINING", "STOP>STOPPING"},
    [MASTER_SERVING] = {"CHECK>CHECKING", ".", ".", ".", ".", "MORE>SERVING", "FEWER>SERVING",
                        "REST>RESTING", "DRAIN>DRAINING", "STOP>STOPPING"},
    [MASTER_CHECKING] = {"CHECK>CHECKING", "TRY>TRYING", "KEEP>SERVING", ".", ".", "MORE>CHECKING",
                         "FEWER>CHECKING", "REST>RESTING", "DRAIN>DRAINING", "STOP>STOPPING"},
    [MASTER_TRYING] = {"CHECK>CHECKING", ".", "KEEP>SERVING", "SWITCH>SERVING", "KEEP>SERVING",
                       "MORE>TRYING", "FEWER>TRYING", "REST>RESTING", "DRAIN>DRAINING",
                       "STOP>STOPPING"},
    [MASTER_RESTING] = {"RESUME_CHECK>CHECKING", ".", ".", ".", ".", "RESUME>SERVING", ".", ".",
                        "DRAIN>DRAINING", "STOP>STOPPING"},
    [MASTER_DRAINING] = {".", ".", ".", ".", ".", ".", ".", ".", "STOP>STOPPING", "STOP>STOPPING"},
    [MASTER_STOPPING] = {".", ".", ".", ".", ".", ".", ".", ".", "KILL>STOPPING", "KILL>STOPPING"},
};

static const char *const deeds[DEEDS] = {
#define X(name, text) #name,
    DEED_MAP(X)
#undef X
};

static void test_every_pair(void **unused)
{
    (void)unused;
    for (int s = 0; s < MASTER_STATES; s++) {
        for (int o = 0; o < ORDERS; o++) {
            struct step step = orders_step((enum master_state)s, (enum order)o);
            char text[80];

            snprintf(text, sizeof text, "%s>%s", deeds[step.deed], master_state_name(step.next));
            if (step.deed == DEED_NOTHING) {
                assert_int_equal(step.next, s);
                snprintf(text, sizeof text, ".");
            }
            assert_string_equal(text, expected[s][o]);
        }
    }
}

static bool ends(enum master_state s)
{
    return s == MASTER_DRAINING || s == MASTER_STOPPING;
}

/* Whatever order comes after which: the end is never left, and two TERM always reach STOPPING. */
static void test_the_end_is_the_end(void **unused)
{
    (void)unused;
    for (int s = 0; s < MASTER_STATES; s++) {
        struct step first = orders_step((enum master_state)s, ORDER_DRAIN);

        assert_true(ends(first.next));
        assert_int_equal(orders_step(first.next, ORDER_DRAIN).next, MASTER_STOPPING);
        for (int o = 0; o < ORDERS; o++) {
            if (ends((enum master_state)s))
                assert_true(ends(orders_step((enum master_state)s, (enum order)o).next));
        }
    }
}

/* What serves is replaced by what is ready, and by nothing else. */
static void test_only_ready_switches(void **unused)
{
    (void)unused;
    for (int s = 0; s < MASTER_STATES; s++) {
        for (int o = 0; o < ORDERS; o++) {
            enum deed deed = orders_step((enum master_state)s, (enum order)o).deed;

            if (deed == DEED_SWITCH || deed == DEED_SWITCH_CHECK)
                assert_int_equal(o, ORDER_READY);
        }
    }
}

static void test_names(void **unused)
{
    (void)unused;
    assert_string_equal(master_state_name(MASTER_CHECKING), "CHECKING");
    assert_string_equal(order_name(ORDER_RELOAD), "RELOAD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_the_end_is_the_end),
        cmocka_unit_test(test_only_ready_switches),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
