/* What wires hold of Python's, and how it is let go (gil.h has the contract).
 *
 * A release pushes onto a stack by compare-and-swap; who has the GIL takes the whole stack at once,
 * so that no element is ever popped while another thread looks at it. Whether this thread has the
 * GIL at a release is not asked: PyGILState_Check() says yes to everybody once the application has
 * made another interpreter. Nothing here takes the GIL or waits. */
#include "py/gil.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/container.h"

enum { SPARE_HOLDS = 64 };

struct held {
    struct hold hold;
    struct holds *of;
    struct held *next;
    PyObject *object; /* a reference, or NULL */
    int fd;           /* to be closed, or -1 */
};

/* Lets go of what is held and keeps the structure for the next. GIL */
static void let_go(struct held *h)
{
    struct holds *hs = h->of;
    Py_CLEAR(h->object);
    if (hs->kept == SPARE_HOLDS) {
        free(h);
        return;
    }
    h->next = hs->spare;
    hs->spare = h;
    hs->kept++;
}

static void release(struct hold *hold)
{
    struct held *h = container_of(hold, struct held, hold);
    if (h->fd >= 0)
        close(h->fd);
    h->fd = -1;
    h->next = atomic_load_explicit(&h->of->waiting, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&h->of->waiting, &h->next, h,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

/* What was released meanwhile goes first: so a response of any length keeps only what is on its
 * way.
 */
static struct held *held_new(struct holds *hs)
{
    holds_settle(hs);
    struct held *h = hs->spare;
    if (h) {
        hs->spare = h->next;
        hs->kept--;
    } else {
        h = malloc(sizeof *h);
    }
    if (h)
        *h = (struct held){.hold.release = release, .of = hs, .fd = -1};
    return h;
}

struct hold *holds_object(struct holds *hs, PyObject *object)
{
    struct held *h = held_new(hs);
    if (!h)
        return NULL;
    h->object = Py_NewRef(object);
    return &h->hold;
}

struct hold *holds_file(struct holds *hs, int fd)
{
    struct held *h = held_new(hs);
    if (!h)
        return NULL;
    h->fd = fd;
    return &h->hold;
}

void holds_settle(struct holds *hs)
{
    if (!atomic_load_explicit(&hs->waiting, memory_order_relaxed))
        return;
    struct held *h = atomic_exchange_explicit(&hs->waiting, NULL, memory_order_acquire);
    while (h) {
        struct held *next = h->next;
        let_go(h);
        h = next;
    }
}
