/* Tests src/loop/loop.c: the order of a turn, what may be done in the middle of one, and when the
 * loop sleeps. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container.h"
#include "base/errors.h"
#include "loop/loop.h"

/* Everything that can be put into a loop, noting in one string what ran. */
struct thing {
    struct loop *loop;
    char *notes;
    char name;
    struct watch watch;
    struct timer timer;
    struct deferred deferred;
    struct closing closing;
    void (*act)(struct thing *t); /* called by whatever runs */
    struct thing *other;
    uint32_t events;
};

static void note(struct thing *t, char what)
{
    size_t len = strlen(t->notes);

    t->notes[len] = what;
    t->notes[len + 1] = t->name;
    t->notes[len + 2] = '\0';
    if (t->act) {
        t->act(t);
    }
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct thing *t = container_of(w, struct thing, watch);

    t->events = events;
    note(t, 'r');
}

static void on_fire(struct timer *timer)
{
    note(container_of(timer, struct thing, timer), 't');
}

static void on_run(struct deferred *d)
{
    note(container_of(d, struct thing, deferred), 'd');
}

static void on_release(struct closing *c)
{
    struct thing *t = container_of(c, struct thing, closing);

    t->act = NULL;
    note(t, 'c');
}

/* A readable descriptor and its thing. */
static struct thing thing_of(struct loop *l, char *notes, char name)
{
    return (struct thing){
        .loop = l,
        .notes = notes,
        .name = name,
        .watch = {.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_ready},
        .timer.fire = on_fire,
        .deferred.run = on_run,
        .closing.release = on_release,
    };
}

static void thing_end(struct thing *t)
{
    loop_unwatch(t->loop, &t->watch);
    timer_remove(&t->loop->timers, &t->timer);
    close(t->watch.fd);
}

static void silence(struct thing *t)
{
    uint64_t count;

    assert_int_equal(read(t->watch.fd, &count, sizeof(count)), sizeof(count));
}

static void act_do_all(struct thing *t)
{
    t->act = NULL;
    silence(t);
    loop_close(t->loop, &t->closing);
    loop_defer(t->loop, &t->deferred);
    timer_set(&t->loop->timers, &t->timer, 0);
}

static void phases_come_in_order(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a;

    (void)state;
    assert_int_equal(loop_init(&l), 0);
    a = thing_of(&l, notes, 'a');
    a.act = act_do_all;
    assert_int_equal(loop_watch(&l, &a.watch, EPOLLIN), 0);
    assert_int_equal(loop_turn(&l, -1), 0);
    assert_string_equal(notes, "ratadaca");
    assert_true(a.events & EPOLLIN);
    thing_end(&a);
    loop_free(&l);
}

static void act_unwatch_other(struct thing *t)
{
    loop_unwatch(t->loop, &t->watch);
    loop_unwatch(t->loop, &t->other->watch);
}

static void a_watch_removed_in_its_batch_is_not_called(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a, b;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    b = thing_of(&l, notes, 'b');
    a.act = b.act = act_unwatch_other;
    a.other = &b;
    b.other = &a;
    loop_watch(&l, &a.watch, EPOLLIN);
    loop_watch(&l, &b.watch, EPOLLIN);
    loop_turn(&l, 1000);
    assert_int_equal(strlen(notes), 2);
    assert_int_equal(loop_turn(&l, 0), 0);
    assert_int_equal(strlen(notes), 2);
    assert_true(a.watch.fd >= 0);
    thing_end(&a);
    thing_end(&b);
    loop_free(&l);
}

static void unwatching_what_is_not_watched_is_nothing(void **state)
{
    struct loop l;
    struct watch w = {.fd = -1};

    (void)state;
    loop_init(&l);
    loop_unwatch(&l, &w);
    assert_int_equal(loop_watch(&l, &w, EPOLLIN), -ERR_SYSTEM);
    assert_int_equal(errno, EBADF);
    loop_free(&l);
}

static void level_and_edge_are_the_callers_choice(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a, b;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    b = thing_of(&l, notes, 'b');
    loop_watch(&l, &a.watch, EPOLLIN);
    loop_watch(&l, &b.watch, EPOLLIN | EPOLLET);
    loop_turn(&l, 1000);
    notes[0] = '\0';
    loop_turn(&l, 1000);
    assert_string_equal(notes, "ra");
    loop_rewatch(&l, &a.watch, 0);
    loop_rewatch(&l, &b.watch, EPOLLOUT | EPOLLET);
    notes[0] = '\0';
    loop_turn(&l, 1000);
    assert_string_equal(notes, "rb");
    assert_int_equal(b.events, EPOLLOUT);
    thing_end(&a);
    thing_end(&b);
    loop_free(&l);
}

static void act_defer_twice(struct thing *t)
{
    t->act = NULL;
    loop_defer(t->loop, &t->deferred);
    loop_defer(t->loop, &t->deferred);
    loop_defer(t->loop, &t->other->deferred);
}

static void what_flush_defers_waits_for_the_next_turn(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a, b;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    b = thing_of(&l, notes, 'b');
    a.act = act_defer_twice;
    a.other = &b;
    loop_defer(&l, &a.deferred);
    loop_turn(&l, -1);
    assert_string_equal(notes, "da");
    loop_turn(&l, -1); /* does not sleep */
    assert_string_equal(notes, "dadadb");
    assert_null(l.deferred_first);
    assert_int_equal(l.deferred_count, 0);
    thing_end(&a);
    thing_end(&b);
    loop_free(&l);
}

static void act_defer_and_take_long(struct thing *t)
{
    int64_t end = clock_ns() + 5000000;

    loop_defer(t->loop, &t->deferred);
    t->act = t->other->act = NULL;
    silence(t);
    while (clock_ns() < end) {
    }
}

/* Two descriptors are ready in one batch; what the first deferred does not wait for the second. */
static void deferred_work_does_not_wait_for_slow_calls(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a, b;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    b = thing_of(&l, notes, 'b');
    a.act = b.act = act_defer_and_take_long;
    a.other = &b;
    b.other = &a;
    loop_watch(&l, &a.watch, EPOLLIN);
    loop_watch(&l, &b.watch, EPOLLIN);
    loop_turn(&l, 1000);
    assert_int_equal(strlen(notes), 6);
    assert_int_equal(notes[2], 'd');
    assert_int_equal(notes[3], notes[1]);
    thing_end(&a);
    thing_end(&b);
    loop_free(&l);
}

static bool lose(struct loop *l)
{
    (void)l;
    return false;
}

/* The loop is lost after the last deferred work: the next holder frees what was closed, without
 * sleeping first. */
static void what_was_closed_survives_a_lost_loop(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a;
    int64_t begin;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    l.calls = lose;
    loop_defer(&l, &a.deferred);
    loop_close(&l, &a.closing);
    assert_int_equal(loop_turn(&l, -1), LOOP_LOST);
    assert_string_equal(notes, "da");
    l.calls = NULL;
    begin = clock_ns();
    assert_int_equal(loop_turn(&l, 10000), 0);
    assert_true(clock_ns() - begin < 5000000000);
    assert_string_equal(notes, "daca");
    thing_end(&a);
    loop_free(&l);
}

static void act_defer_other(struct thing *t)
{
    loop_defer(t->loop, &t->other->deferred);
}

static void act_close_other(struct thing *t)
{
    loop_close(t->loop, &t->other->closing);
}

/* In one flush `a` defers `c`, then `b` closes it: it is not freed before its deferred work ran. */
static void deferred_work_runs_before_its_owner_is_freed(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a, b, c;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    b = thing_of(&l, notes, 'b');
    c = thing_of(&l, notes, 'c');
    a.other = b.other = &c;
    a.act = act_defer_other;
    b.act = act_close_other;
    loop_defer(&l, &a.deferred);
    loop_defer(&l, &b.deferred);
    loop_turn(&l, -1);
    assert_string_equal(notes, "dadb");
    loop_turn(&l, -1);
    assert_string_equal(notes, "dadbdccc");
    thing_end(&a);
    thing_end(&b);
    thing_end(&c);
    loop_free(&l);
}

static void act_defer_self(struct thing *t)
{
    loop_defer(t->loop, &t->deferred);
}

/* Work that defers itself for ever does not keep closed things from being freed. */
static void closing_is_not_put_off_for_ever(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a, b, c;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    b = thing_of(&l, notes, 'b');
    c = thing_of(&l, notes, 'c');
    a.act = act_defer_self;
    b.act = act_close_other;
    b.other = &c;
    loop_defer(&l, &a.deferred);
    loop_defer(&l, &b.deferred);
    loop_turn(&l, -1);
    loop_turn(&l, -1);
    assert_string_equal(notes, "dadbdacc");
    thing_end(&a);
    thing_end(&b);
    thing_end(&c);
    loop_free(&l);
}

static void act_take_over(struct thing *t)
{
    t->act = NULL;
    loop_turn(t->loop, 0);
}

/* What another holder of the loop would do while the first is inside of a call. */
static void a_batch_can_be_finished_by_another(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing things[3];

    (void)state;
    loop_init(&l);
    for (int i = 0; i < 3; i++) {
        things[i] = thing_of(&l, notes, (char)('a' + i));
        things[i].act = act_take_over;
        loop_watch(&l, &things[i].watch, EPOLLIN | EPOLLET);
    }
    loop_turn(&l, 1000);
    assert_int_equal(strlen(notes), 6); /* each once */
    assert_int_equal(l.batch_next, l.batch_size);
    for (int i = 0; i < 3; i++) {
        thing_end(&things[i]);
    }
    loop_free(&l);
}

static void no_descriptor_starves(void **state)
{
    enum { N = 3 * LOOP_BATCH };
    static char notes[2 * N * 4];
    static struct thing things[N];
    struct loop l;

    (void)state;
    notes[0] = '\0';
    loop_init(&l);
    for (int i = 0; i < N; i++) {
        things[i] = thing_of(&l, notes, 'x');
        loop_watch(&l, &things[i].watch, EPOLLIN);
    }
    for (int turn = 0; turn < 3; turn++) {
        loop_turn(&l, 1000);
    }
    assert_int_equal(strlen(notes), 2 * N);
    for (int i = 0; i < N; i++) {
        assert_true(things[i].events);
        thing_end(&things[i]);
    }
    loop_free(&l);
}

static void the_loop_sleeps_until_the_next_timer(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a;
    int64_t begin;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    begin = loop_now(&l);
    timer_set(&l.timers, &a.timer, begin + 15);
    loop_turn(&l, 1);
    assert_string_equal(notes, "");
    for (int turns = 0; notes[0] == '\0'; turns++) {
        assert_true(turns < 3);
        loop_turn(&l, -1);
    }
    assert_true(loop_now(&l) >= begin + 15);
    assert_string_equal(notes, "ta");
    thing_end(&a);
    loop_free(&l);
}

static void due_timers_are_fired_in_bounded_steps(void **state)
{
    enum { N = 1000 };
    static char notes[2 * N + 2];
    static struct thing things[N];
    struct loop l;
    int turns = 0;

    (void)state;
    notes[0] = '\0';
    loop_init(&l);
    for (int i = 0; i < N; i++) {
        things[i] = (struct thing){.loop = &l, .notes = notes, .name = 'x', .timer.fire = on_fire};
        timer_set(&l.timers, &things[i].timer, 1);
    }
    for (; l.timers.count; turns++) {
        loop_turn(&l, -1); /* never sleeps, since timers are due */
    }
    assert_true(turns > 1);
    assert_int_equal(strlen(notes), 2 * N);
    loop_free(&l);
}

static void count_idle(struct loop *l)
{
    ++*(int *)l->owner;
}

/* Whichever became ready first, what says so is called first. */
static void what_is_first_is_called_first(void **state)
{
    for (int first = 0; first < 3; first++) {
        char notes[64] = "";
        struct loop l;
        struct thing things[3];

        (void)state;
        loop_init(&l);
        for (int i = 0; i < 3; i++) {
            things[i] = thing_of(&l, notes, (char)('a' + i));
            things[i].watch.first = i == first;
            assert_int_equal(loop_watch(&l, &things[i].watch, EPOLLIN | EPOLLET), 0);
        }
        loop_turn(&l, 0);
        assert_int_equal(strlen(notes), 6);
        assert_int_equal(notes[1], 'a' + first);
        for (int i = 0; i < 3; i++) {
            assert_non_null(strchr(notes, 'a' + i));
            thing_end(&things[i]);
        }
        loop_free(&l);
    }
}

struct settled {
    struct settle settle;
    struct thing *thing;
    int times;
};

static void settle_by_watching(struct settle *s)
{
    struct settled *d = container_of(s, struct settled, settle);

    if (d->times++ == 0)
        loop_watch(d->thing->loop, &d->thing->watch, EPOLLIN);
}

/* It runs before each wait, and what it watches counts at once. */
static void what_is_watched_is_settled_before_the_wait(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a;
    struct settled d = {.settle.run = settle_by_watching, .thing = &a};

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    l.settle = &d.settle;
    loop_turn(&l, -1);
    assert_string_equal(notes, "ra");
    loop_turn(&l, 0);
    assert_int_equal(d.times, 2);
    thing_end(&a);
    loop_free(&l);
}

static void the_hook_runs_before_a_sleep_only(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a;
    int idle = 0;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    l.idle = count_idle;
    l.owner = &idle;
    loop_turn(&l, 0);
    assert_int_equal(idle, 0);
    loop_turn(&l, 1);
    assert_int_equal(idle, 1);
    loop_defer(&l, &a.deferred);
    loop_turn(&l, 1000);
    loop_close(&l, &a.closing);
    loop_turn(&l, 1000);
    timer_set(&l.timers, &a.timer, 0);
    loop_turn(&l, 1000);
    assert_int_equal(idle, 1);
    assert_string_equal(notes, "dacata");
    thing_end(&a);
    loop_free(&l);
}

static void act_stop(struct thing *t)
{
    loop_stop(t->loop);
}

static void stop_ends_run_after_the_turn(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    a.act = act_stop;
    loop_watch(&l, &a.watch, EPOLLIN);
    assert_int_equal(loop_run(&l), 0);
    assert_string_equal(notes, "ra");
    assert_int_equal(loop_run(&l), 0);
    assert_string_equal(notes, "rara");
    loop_stop(&l);
    assert_int_equal(loop_run(&l), 0);
    assert_string_equal(notes, "rara");
    thing_end(&a);
    loop_free(&l);
}

static void a_failing_epoll_ends_run(void **state)
{
    struct loop l;

    (void)state;
    loop_init(&l);
    close(l.epoll);
    l.epoll = -1;
    assert_int_equal(loop_run(&l), -ERR_SYSTEM);
    loop_free(&l);
}

static void *wake_often(void *loop)
{
    for (int i = 0; i < 1000; i++) {
        loop_wake(loop);
    }
    return NULL;
}

static void threads_wake_the_loop(void **state)
{
    struct loop l;
    pthread_t thread;

    (void)state;
    loop_init(&l);
    assert_int_equal(pthread_create(&thread, NULL, wake_often, &l), 0);
    assert_int_equal(loop_turn(&l, -1), 0);
    pthread_join(thread, NULL);
    loop_turn(&l, 0);
    for (int i = 0; i < 3; i++) {
        loop_wake(&l);
        assert_int_equal(loop_turn(&l, -1), 0);
    }
    loop_free(&l);
}

static void on_alarm(int number)
{
    (void)number;
}

static void a_signal_ends_the_sleep_without_an_error(void **state)
{
    struct sigaction action = {.sa_handler = on_alarm}, old;
    struct itimerval often = {{0, 5000}, {0, 5000}}, never = {0};
    struct loop l;

    (void)state;
    loop_init(&l);
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &often, NULL);
    assert_int_equal(loop_turn(&l, -1), 0);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    loop_free(&l);
}

static void freeing_releases_what_waits(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    timer_set(&l.timers, &a.timer, 1000);
    loop_close(&l, &a.closing);
    loop_free(&l);
    assert_string_equal(notes, "ca");
    assert_int_equal(a.timer.index, 0);
    assert_int_equal(l.epoll, -1);
    close(a.watch.fd);
}

static void a_child_that_frees_its_copy_changes_nothing(void **state)
{
    char notes[64] = "";
    struct loop l;
    struct thing a;
    int status;
    pid_t child;

    (void)state;
    loop_init(&l);
    a = thing_of(&l, notes, 'a');
    loop_watch(&l, &a.watch, EPOLLIN);
    child = fork();
    if (child == 0) {
        loop_free(&l);
        _exit(loop_init(&l) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    loop_turn(&l, 1000);
    assert_string_equal(notes, "ra");
    thing_end(&a);
    loop_free(&l);
}

static void running_out_of_descriptors_is_told(void **state)
{
    struct rlimit old, few;
    struct loop l;
    int next = dup(0);

    (void)state;
    close(next);
    getrlimit(RLIMIT_NOFILE, &old);
    for (int room = 0; room < 2; room++) {
        few = (struct rlimit){(rlim_t)(next + room), old.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        assert_int_equal(loop_init(&l), -ERR_SYSTEM);
        assert_int_equal(errno, EMFILE);
    }
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(dup(0), next); /* nothing was left open */
    close(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_come_in_order),
        cmocka_unit_test(a_watch_removed_in_its_batch_is_not_called),
        cmocka_unit_test(unwatching_what_is_not_watched_is_nothing),
        cmocka_unit_test(level_and_edge_are_the_callers_choice),
        cmocka_unit_test(what_flush_defers_waits_for_the_next_turn),
        cmocka_unit_test(deferred_work_does_not_wait_for_slow_calls),
        cmocka_unit_test(what_was_closed_survives_a_lost_loop),
        cmocka_unit_test(deferred_work_runs_before_its_owner_is_freed),
        cmocka_unit_test(closing_is_not_put_off_for_ever),
        cmocka_unit_test(a_batch_can_be_finished_by_another),
        cmocka_unit_test(no_descriptor_starves),
        cmocka_unit_test(the_loop_sleeps_until_the_next_timer),
        cmocka_unit_test(due_timers_are_fired_in_bounded_steps),
        cmocka_unit_test(what_is_first_is_called_first),
        cmocka_unit_test(what_is_watched_is_settled_before_the_wait),
        cmocka_unit_test(the_hook_runs_before_a_sleep_only),
        cmocka_unit_test(stop_ends_run_after_the_turn),
        cmocka_unit_test(a_failing_epoll_ends_run),
        cmocka_unit_test(threads_wake_the_loop),
        cmocka_unit_test(a_signal_ends_the_sleep_without_an_error),
        cmocka_unit_test(freeing_releases_what_waits),
        cmocka_unit_test(a_child_that_frees_its_copy_changes_nothing),
        cmocka_unit_test(running_out_of_descriptors_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
