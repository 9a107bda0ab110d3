/* Tests src/loop/signals.c: signals become events, the mask comes back, and a child starts clean.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container.h"
#include "base/errors.h"
#include "loop/signals.h"

struct owner {
    struct loop loop;
    struct signals signals;
    int seen[8];
    int count;
    bool close_at_once;
};

static void on_signal(struct signals *s, const struct signalfd_siginfo *info)
{
    struct owner *o = container_of(s, struct owner, signals);

    o->seen[o->count++ % 8] = (int)info->ssi_signo;
    if (o->close_at_once) {
        signals_close(&o->loop, s);
    }
}

static void owner_open(struct owner *o)
{
    sigset_t set;

    *o = (struct owner){.signals.on_signal = on_signal};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    assert_int_equal(loop_init(&o->loop), 0);
    assert_int_equal(signals_open(&o->loop, &o->signals, &set), 0);
}

static bool is_blocked(int number)
{
    sigset_t now;

    pthread_sigmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, number) == 1;
}

static void signals_become_events(void **state)
{
    struct owner o;

    (void)state;
    owner_open(&o);
    assert_true(is_blocked(SIGUSR1));
    raise(SIGUSR1);
    raise(SIGUSR2);
    raise(SIGUSR2); /* one with the other */
    loop_turn(&o.loop, 1000);
    assert_int_equal(o.count, 2);
    assert_int_equal(o.seen[0], SIGUSR1);
    assert_int_equal(o.seen[1], SIGUSR2);
    raise(SIGUSR1);
    loop_turn(&o.loop, 1000);
    assert_int_equal(o.count, 3);
    signals_close(&o.loop, &o.signals);
    assert_false(is_blocked(SIGUSR1));
    signals_close(&o.loop, &o.signals);
    loop_free(&o.loop);
}

static void handled(int number)
{
    (void)number;
}

static void a_handler_may_close_and_loses_nothing(void **state)
{
    struct sigaction action = {.sa_handler = handled}, old;
    struct owner o;

    (void)state;
    owner_open(&o);
    o.close_at_once = true;
    sigaction(SIGUSR2, &action, &old);
    raise(SIGUSR1);
    raise(SIGUSR2); /* still waits when the watch is closed, and then takes its usual course */
    loop_turn(&o.loop, 1000);
    assert_int_equal(o.count, 1);
    assert_int_equal(o.signals.watch.fd, -1);
    assert_false(is_blocked(SIGUSR2));
    sigaction(SIGUSR2, &old, NULL);
    loop_free(&o.loop);
}

static void failing_leaves_the_mask_alone(void **state)
{
    struct loop l = {.epoll = -1};
    struct signals s = {.on_signal = on_signal};
    sigset_t set;

    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    assert_int_equal(signals_open(&l, &s, &set), -ERR_SYSTEM);
    assert_int_equal(s.watch.fd, -1);
    assert_false(is_blocked(SIGUSR1));
}

/* Exit status 0 when a child of a parent with handlers and a mask is clean after signals_reset().
 */
static int check_reset(void)
{
    sigset_t mask;
    struct sigaction action;

    signals_reset();
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    for (int number = 1; number < NSIG; number++) {
        if (sigismember(&mask, number) == 1) {
            return 1;
        }
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL) {
            return 2;
        }
    }
    return 0;
}

static void a_child_starts_clean(void **state)
{
    struct owner o;
    pid_t child;
    int status;

    (void)state;
    owner_open(&o);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, handled);
    child = fork();
    if (child == 0) {
        _exit(check_reset());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signals_close(&o.loop, &o.signals);
    loop_free(&o.loop);
}

/* What the parent blocked and the child got before its reset takes its usual course in the child.
 */
static void a_signal_that_waits_reaches_the_child(void **state)
{
    struct owner o;
    pid_t child;
    int status;

    (void)state;
    owner_open(&o);
    child = fork();
    if (child == 0) {
        raise(SIGUSR1);
        signals_reset();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGUSR1);
    signals_close(&o.loop, &o.signals);
    loop_free(&o.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_become_events),
        cmocka_unit_test(a_handler_may_close_and_loses_nothing),
        cmocka_unit_test(failing_leaves_the_mask_alone),
        cmocka_unit_test(a_child_starts_clean),
        cmocka_unit_test(a_signal_that_waits_reaches_the_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
