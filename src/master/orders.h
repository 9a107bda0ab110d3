/* What the master does at each order, in each of its states: one table.
 *
 * Orders are signals of people, and what a reload comes to. They overlap in every way: a reload is
 * ordered while another starts, the server is to stop while the launcher checks. What happens then
 * is a row of the table in orders.c and nothing else. Pure: no clock, no processes. */
#ifndef PENSTOCK_MASTER_ORDERS_H
#define PENSTOCK_MASTER_ORDERS_H

/* STATE(name, what it means) */
#define MASTER_STATE_MAP(X)                                                                        \
    X(STARTING, "the first start: nothing is served yet")                                          \
    X(PENDING, "the first start, and a reload is to follow")                                       \
    X(SERVING, "one generation serves")                                                            \
    X(CHECKING, "it serves; the launcher makes a new configuration")                               \
    X(TRYING, "it serves; the next generation starts")                                             \
    X(RESTING, "the workers were told to leave; the master stays")                                 \
    X(DRAINING, "the server ends when the last request has")                                       \
    X(STOPPING, "the server ends now")

#define MASTER_STATE_ENUM(name, text) MASTER_##name,
enum master_state { MASTER_STATE_MAP(MASTER_STATE_ENUM) MASTER_STATES };
#undef MASTER_STATE_ENUM

/* ORDER(name, where it comes from) */
#define ORDER_MAP(X)                                                                               \
    X(RELOAD, "HUP")                                                                               \
    X(CHECKED, "the launcher made a configuration")                                                \
    X(REFUSED, "it could not, or what it made cannot be used")                                     \
    X(READY, "the generation that starts is ready")                                                \
    X(FAILED, "it has failed")                                                                     \
    X(MORE, "TTIN")                                                                                \
    X(FEWER, "TTOU")                                                                               \
    X(REST, "WINCH")                                                                               \
    X(DRAIN, "TERM")                                                                               \
    X(STOP, "INT, QUIT")

#define ORDER_ENUM(name, text) ORDER_##name,
enum order { ORDER_MAP(ORDER_ENUM) ORDERS };
#undef ORDER_ENUM

/* DEED(name, what is done). Whatever a reload under way has begun is given up by CHECK, REST, DRAIN
 * and STOP. */
#define DEED_MAP(X)                                                                                \
    X(NOTHING, "the order has no meaning in this state")                                           \
    X(WAIT, "it is remembered by the next state")                                                  \
    X(CHECK, "run the launcher")                                                                   \
    X(TRY, "start a generation by the new configuration")                                          \
    X(KEEP, "give up the new one: the old one stays")                                              \
    X(SWITCH, "the new generation serves, the old one leaves")                                     \
    X(SWITCH_CHECK, "the same, then run the launcher")                                             \
    X(MORE, "one worker more of each application")                                                 \
    X(FEWER, "one worker less, where there is more than one")                                      \
    X(REST, "drain the workers")                                                                   \
    X(RESUME, "start the workers again")                                                           \
    X(RESUME_CHECK, "start them again and run the launcher")                                       \
    X(FAIL, "stop, with the status of the failure")                                                \
    X(DRAIN, "drain everything, and end")                                                          \
    X(STOP, "stop everything, and end")                                                            \
    X(KILL, "kill what is left")

#define DEED_ENUM(name, text) DEED_##name,
enum deed { DEED_MAP(DEED_ENUM) DEEDS };
#undef DEED_ENUM

struct step {
    enum deed deed;
    enum master_state next;
};

struct step orders_step(enum master_state state, enum order order);

const char *master_state_name(enum master_state state);
const char *order_name(enum order order);

#endif
