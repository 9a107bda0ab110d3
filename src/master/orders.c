/* The table of states and orders (orders.h has the contract).
 *
 * A pair that is not in the table changes nothing. Of two reloads the latest wins: the one under
 * way is given up, wherever it is, and the launcher runs again. The end wins over everything; a
 * second TERM stops, a third kills. */
#include "master/orders.h"

/* The end has the same meaning wherever something is served. */
#define ENDS                                                                                       \
    [ORDER_DRAIN] = {DEED_DRAIN, MASTER_DRAINING}, [ORDER_STOP] = {DEED_STOP, MASTER_STOPPING}

/* So have the numbers of workers, but in a rest. */
#define COUNTS(state)                                                                              \
    [ORDER_MORE] = {DEED_MORE, state}, [ORDER_FEWER] = {DEED_FEWER, state},                        \
    [ORDER_REST] = {DEED_REST, MASTER_RESTING}

static const struct step steps[MASTER_STATES][ORDERS] = {
    [MASTER_STARTING] = {ENDS, [ORDER_RELOAD] = {DEED_WAIT, MASTER_PENDING},
                         [ORDER_READY] = {DEED_SWITCH, MASTER_SERVING},
                         [ORDER_FAILED] = {DEED_FAIL, MASTER_STOPPING}},
    [MASTER_PENDING] = {ENDS, [ORDER_RELOAD] = {DEED_WAIT, MASTER_PENDING},
                        [ORDER_READY] = {DEED_SWITCH_CHECK, MASTER_CHECKING},
                        [ORDER_FAILED] = {DEED_FAIL, MASTER_STOPPING}},
    [MASTER_SERVING] = {ENDS,
                        COUNTS(MASTER_SERVING), [ORDER_RELOAD] = {DEED_CHECK, MASTER_CHECKING}},
    [MASTER_CHECKING] = {ENDS,
                         COUNTS(MASTER_CHECKING), [ORDER_RELOAD] = {DEED_CHECK, MASTER_CHECKING},
                         [ORDER_CHECKED] = {DEED_TRY, MASTER_TRYING},
                         [ORDER_REFUSED] = {DEED_KEEP, MASTER_SERVING}},
    [MASTER_TRYING] = {ENDS, COUNTS(MASTER_TRYING), [ORDER_RELOAD] = {DEED_CHECK, MASTER_CHECKING},
                       [ORDER_REFUSED] = {DEED_KEEP, MASTER_SERVING},
                       [ORDER_READY] = {DEED_SWITCH, MASTER_SERVING},
                       [ORDER_FAILED] = {DEED_KEEP, MASTER_SERVING}},
    [MASTER_RESTING] = {ENDS, [ORDER_RELOAD] = {DEED_RESUME_CHECK, MASTER_CHECKING},
                        [ORDER_MORE] = {DEED_RESUME, MASTER_SERVING}},
    [MASTER_DRAINING] =
        {[ORDER_DRAIN] = {DEED_STOP, MASTER_STOPPING}, [ORDER_STOP] = {DEED_STOP, MASTER_STOPPING}},
    [MASTER_STOPPING] =
        {[ORDER_DRAIN] = {DEED_KILL, MASTER_STOPPING}, [ORDER_STOP] = {DEED_KILL, MASTER_STOPPING}},
};

struct step orders_step(enum master_state state, enum order order)
{
    struct step step = steps[state][order];

    if (step.deed == DEED_NOTHING)
        step.next = state;
    return step;
}

const char *master_state_name(enum master_state state)
{
    static const char *const names[] = {
#define X(name, text) #name,
        MASTER_STATE_MAP(X)
#undef X
    };

    return names[state];
}

const char *order_name(enum order order)
{
    static const char *const names[] = {
#define X(name, text) #name,
        ORDER_MAP(X)
#undef X
    };

    return names[order];
}
