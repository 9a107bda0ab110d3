/* Signals as events.
 *
 * A signalfd, watched level-triggered. Signals are read one at a time, so that none is lost when a
 * handler closes the watch, and only so many in a turn.
 *
 * Relies on the signals being blocked in every thread. Never runs code in a signal handler. */
#include "loop/signals.h"

#include <errno.h>
#include <unistd.h>

#include "base/container.h"
#include "base/errors.h"

enum { SIGNALS_A_TURN = 16 };

static void signals_ready(struct watch *w, uint32_t events)
{
    struct signals *s = container_of(w, struct signals, watch);
    struct signalfd_siginfo info;

    (void)events;
    for (int n = 0; n < SIGNALS_A_TURN && w->fd >= 0; n++) {
        if (read(w->fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
            return;
        }
        s->on_signal(s, &info);
    }
}

/* Closes the descriptor, if there is one, and keeps errno for who failed. */
static void drop(struct signals *s)
{
    int why = errno;

    if (s->watch.fd >= 0) {
        close(s->watch.fd);
    }
    s->watch.fd = -1;
    pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
    errno = why;
}

int signals_open(struct loop *l, struct signals *s, const sigset_t *set)
{
    s->watch = (struct watch){.fd = -1, .ready = signals_ready};
    if (pthread_sigmask(SIG_BLOCK, set, &s->old_mask) != 0) {
        errno = EINVAL;
        return -ERR_SYSTEM;
    }
    s->watch.fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->watch.fd < 0 || loop_watch(l, &s->watch, EPOLLIN) < 0) {
        drop(s);
        return -ERR_SYSTEM;
    }
    return 0;
}

void signals_close(struct loop *l, struct signals *s)
{
    if (s->watch.fd < 0) {
        return;
    }
    loop_unwatch(l, &s->watch);
    drop(s);
}

/* Dispositions come first: what was blocked and waits must not reach a handler of the parent's. */
void signals_reset(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL); /* fails for those that cannot be changed */
    }
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}
