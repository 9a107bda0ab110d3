/* Tests src/base/scoreboard.c: what is shared, what is sealed, and what is not believed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/errors.h"
#include "base/scoreboard.h"

static void a_new_one_holds_free_slots(void **state)
{
    int fd = scoreboard_create(5);
    struct scoreboard *b = scoreboard_map(fd);

    (void)state;
    assert_non_null(b);
    assert_int_equal(scoreboard_count(b), 5);
    assert_int_equal(b->count, 5);
    assert_int_equal((uintptr_t)b->slots % 64, 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(slot_get(&b->slots[i], pid), 0);
        assert_int_equal(slot_get(&b->slots[i], state), WORKER_FREE);
        assert_int_equal(slot_get(&b->slots[i], log_lost), 0);
    }
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    scoreboard_unmap(b);
    scoreboard_unmap(NULL);
    close(fd);
}

static void processes_share_it(void **state)
{
    int fd = scoreboard_create(2);
    struct scoreboard *b = scoreboard_map(fd);
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        struct scoreboard *own = scoreboard_map(fd);

        slot_add(&own->slots[1], requests, 40);
        slot_add(&own->slots[1], requests, 2);
        slot_set(&own->slots[1], state, WORKER_SERVING);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(slot_get(&b->slots[1], requests), 42);
    assert_int_equal(slot_get(&b->slots[1], state), WORKER_SERVING);
    assert_int_equal(slot_get(&b->slots[0], requests), 0);
    scoreboard_unmap(b);
    close(fd);
}

static void its_size_is_sealed(void **state)
{
    int fd = scoreboard_create(3);

    (void)state;
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 1 << 20), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    close(fd);
}

static void a_size_must_be_one(void **state)
{
    (void)state;
    errno = 0;
    assert_int_equal(scoreboard_create(0), -ERR_SYSTEM);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(scoreboard_create(UINT_MAX), -ERR_SYSTEM);
    assert_int_equal(errno, EINVAL);
}

/* A memfd with this head, of `size` bytes. */
static int forged(const struct scoreboard *head, size_t size, unsigned seals)
{
    int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(pwrite(fd, head, size < sizeof(*head) ? size : sizeof(*head), 0),
                     size < sizeof(*head) ? size : sizeof(*head));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static bool maps(const struct scoreboard *head, size_t size, unsigned seals)
{
    int fd = forged(head, size, seals);
    struct scoreboard *b = scoreboard_map(fd);
    int why = errno;

    close(fd);
    if (!b) {
        assert_int_equal(why, EPROTO);
        return false;
    }
    scoreboard_unmap(b);
    return true;
}

static void what_is_not_one_is_refused(void **state)
{
    const struct scoreboard good = {SCOREBOARD_MAGIC, SCOREBOARD_VERSION, 4, sizeof(struct slot)};
    const size_t size = sizeof(good) + 4 * sizeof(struct slot);
    const unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW;
    struct scoreboard head;

    (void)state;
    assert_true(maps(&good, size, seals));
    assert_false(maps(&good, size, F_SEAL_GROW));
    assert_false(maps(&good, size, F_SEAL_SHRINK));
    assert_false(maps(&good, size - 1, seals));
    assert_false(maps(&good, size + 1, seals));
    assert_false(maps(&good, 0, seals));
    assert_false(maps(&good, sizeof(good) - 1, seals));
    head = good;
    head.magic++;
    assert_false(maps(&head, size, seals));
    head = good;
    head.version++;
    assert_false(maps(&head, size, seals));
    head = good;
    head.slot_size += 64;
    assert_false(maps(&head, size, seals));
    head = good;
    head.count = 5;
    assert_false(maps(&head, size, seals));
    head.count = 0;
    assert_false(maps(&head, sizeof(head), seals));
    head.count = UINT_MAX;
    assert_false(maps(&head, size, seals));
}

static void other_descriptors_are_refused(void **state)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)state;
    assert_null(scoreboard_map(null));
    assert_int_equal(errno, EPROTO);
    assert_null(scoreboard_map(-1));
    close(null);
}

/* A worker that was taken over writes into the head. */
static void the_count_is_remembered_outside(void **state)
{
    int fd = scoreboard_create(2);
    struct scoreboard *b = scoreboard_map(fd);
    struct scoreboard *hostile = scoreboard_map(fd);

    (void)state;
    hostile->count = UINT_MAX;
    assert_int_equal(b->count, UINT_MAX);
    assert_int_equal(scoreboard_count(b), 2);
    scoreboard_unmap(b);
    scoreboard_unmap(hostile);
    assert_null(scoreboard_map(fd));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_holds_free_slots),
        cmocka_unit_test(processes_share_it),
        cmocka_unit_test(its_size_is_sealed),
        cmocka_unit_test(a_size_must_be_one),
        cmocka_unit_test(what_is_not_one_is_refused),
        cmocka_unit_test(other_descriptors_are_refused),
        cmocka_unit_test(the_count_is_remembered_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
