/* A worker's threads (crew.h has the contract).
 *
 * A thread makes its Python state itself, since a state that is made elsewhere has the wrong
 * identity; it keeps it as long as it lives. While a hand is parked, or turns a loop that sleeps,
 * it does not have the GIL. */
#include "py/crew.h"

#include <stdlib.h>

#include "base/container.h"
#include "base/errors.h"

static struct seat *seat_of(struct hand *h)
{
    return container_of(h, struct seat, hand);
}

/* A parked hand never keeps the GIL. */
static void run(struct hand *h, struct task *t)
{
    struct job *j = container_of(t, struct job, task);
    j->run(j, seat_of(h));
    if (!hand_holds(h))
        gil_leave(&seat_of(h)->gil);
}

static void idle(struct hand *h)
{
    gil_leave(&seat_of(h)->gil);
}

static void errand(struct hand *h)
{
    struct seat *s = seat_of(h);
    gil_take(&s->gil);
    s->crew->errand(s->crew);
    gil_leave(&s->gil);
}

static void *seat_main(void *arg)
{
    struct seat *s = arg;
    PyGILState_STATE state = PyGILState_Ensure();
    gil_leave(&s->gil);
    token_join(&s->crew->token, &s->hand);
    gil_take(&s->gil);
    PyGILState_Release(state);
    token_left(&s->crew->token);
    return NULL;
}

static bool spawn(struct token *t)
{
    pthread_t thread;
    struct seat *s = calloc(1, sizeof *s);
    if (!s)
        return false;
    s->crew = container_of(t, struct crew, token);
    if (pthread_create(&thread, NULL, seat_main, s)) {
        free(s);
        return false;
    }
    pthread_setname_np(thread, "penstock-hand");
    pthread_detach(thread);
    return true;
}

static const struct token_ops ops = {.run = run, .idle = idle, .errand = errand, .spawn = spawn};

int crew_begin(struct crew *c, struct loop *loop, unsigned threads)
{
    c->first.crew = c;
    return token_init(&c->token, loop, threads, &ops);
}

int crew_run(struct crew *c)
{
    int err = token_join(&c->token, &c->first.hand);
    gil_take(&c->first.gil);
    return err;
}

bool crew_end(struct crew *c, int patience)
{
    gil_leave(&c->first.gil);
    token_left(&c->token);
    bool all = token_free(&c->token, patience);
    gil_take(&c->first.gil);
    return all;
}
