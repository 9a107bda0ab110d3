/* Tests src/net/listen.c and holder.c: what a listener is, what is refused, and the sentences that
 * say why. */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/errors.h"

struct place {
    char folder[64];
    char path[96];
    struct listen_spec spec;
    char why[256];
};

static int setup(void **state)
{
    static struct place p;

    strcpy(p.folder, "/tmp/penstock-listen-XXXXXX");
    if (!mkdtemp(p.folder))
        return -1;
    snprintf(p.path, sizeof p.path, "%s/shop.sock", p.folder);
    p.spec = (struct listen_spec){.backlog = 16, .mode = -1};
    *state = &p;
    return address_unix(&p.spec.address, p.path);
}

static int teardown(void **state)
{
    struct place *p = *state;

    unlink(p->path);
    return rmdir(p->folder);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

/* The address with the port that the kernel chose for port 0. */
static void resolve(int fd, struct listen_spec *spec)
{
    spec->address.len = sizeof spec->address.storage;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&spec->address.storage, &spec->address.len),
                     0);
}

static int connect_to(const struct listen_spec *spec)
{
    int fd = socket(spec->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(
        connect(fd, (const struct sockaddr *)&spec->address.storage, spec->address.len), 0);
    return fd;
}

/* Whether this machine has IPv6: containers often have not. */
static bool has_inet6(void)
{
    struct listen_spec spec = {.backlog = 1, .mode = -1};
    char why[256];
    int fd;

    address_inet(&spec.address, "::1", 0);
    fd = listen_open(&spec, why, sizeof why);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void check_accepts(int fd, const struct listen_spec *spec)
{
    int client, server;

    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    client = connect_to(spec);
    server = accept(fd, NULL, NULL);
    assert_true(server >= 0);
    if (!address_is_unix(&spec->address))
        assert_int_equal(option(server, IPPROTO_TCP, TCP_NODELAY), 1);
    close(server);
    close(client);
}

static void test_inet(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    struct place *p = *state;

    for (size_t i = 0; i < (has_inet6() ? 2 : 1); i++) {
        struct listen_spec spec = {.backlog = 16, .mode = -1};
        int fd;

        assert_int_equal(address_inet(&spec.address, hosts[i], 0), 0);
        fd = listen_open(&spec, p->why, sizeof p->why);
        resolve(fd, &spec);
        check_accepts(fd, &spec);
        assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
        if (i == 1)
            assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
        listen_close(fd, &spec);
    }
}

/* Whoever holds the port is named: here it is this very process, on the same address and on the
 * wildcard. */
static void test_port_taken(void **state)
{
    static const char *const pairs[][2] = {
        {"127.0.0.1", "127.0.0.1"},
        {"127.0.0.1", "0.0.0.0"},
        {"0.0.0.0", "127.0.0.1"},
        {"::1", "::1"},
        {"::", "::1"},
        {"::1", "::"},
    };
    struct place *p = *state;
    char holder[64];

    snprintf(holder, sizeof holder, "the port is in use by test_listen (pid %d)", (int)getpid());
    for (size_t i = 0; i < (has_inet6() ? 6 : 3); i++) {
        struct listen_spec first = {.backlog = 16}, second = {.backlog = 16};
        int fd;

        address_inet(&first.address, pairs[i][0], 0);
        fd = listen_open(&first, p->why, sizeof p->why);
        resolve(fd, &first);
        address_inet(&second.address, pairs[i][1], address_port(&first.address));
        assert_int_equal(listen_open(&second, p->why, sizeof p->why), -ERR_SYSTEM);
        assert_int_equal(errno, EADDRINUSE);
        assert_non_null(strstr(p->why, holder));
        listen_close(fd, &first);
    }
}

static void test_not_our_address(void **state)
{
    struct place *p = *state;
    struct listen_spec spec = {.backlog = 16};

    address_inet(&spec.address, "192.0.2.1", 0); /* RFC 5737: nobody's */
    assert_int_equal(listen_open(&spec, p->why, sizeof p->why), -ERR_SYSTEM);
    assert_int_equal(errno, EADDRNOTAVAIL);
    assert_string_equal(
        p->why, "cannot listen on 192.0.2.1:0: no interface of this machine has this address");
}

static void test_unix(void **state)
{
    static const int modes[] = {0600, 0660, 0666, 0};
    struct place *p = *state;
    struct stat st;
    mode_t mask = umask(027);
    int fd;

    fd = listen_open(&p->spec, p->why, sizeof p->why);
    check_accepts(fd, &p->spec);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    listen_close(fd, &p->spec);
    assert_int_equal(access(p->path, F_OK), -1);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        p->spec.mode = modes[i];
        fd = listen_open(&p->spec, p->why, sizeof p->why);
        assert_true(fd >= 0);
        assert_int_equal(stat(p->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
        listen_close(fd, &p->spec);
    }
    assert_int_equal(umask(mask), 027);
}

static void test_unix_stale(void **state)
{
    struct place *p = *state;
    int fd = listen_open(&p->spec, p->why, sizeof p->why);

    close(fd); /* as kill -9 leaves it */
    assert_int_equal(access(p->path, F_OK), 0);
    fd = listen_open(&p->spec, p->why, sizeof p->why);
    check_accepts(fd, &p->spec);
    listen_close(fd, &p->spec);
}

static void test_unix_live(void **state)
{
    struct place *p = *state;
    struct listen_spec second = p->spec;
    int fd = listen_open(&p->spec, p->why, sizeof p->why), client;
    char expected[256];

    assert_int_equal(listen_open(&second, p->why, sizeof p->why), -ERR_SYSTEM);
    assert_int_equal(errno, EADDRINUSE);
    snprintf(expected, sizeof expected,
             "cannot listen on unix:%s: the socket is in use by test_listen (pid %d)", p->path,
             (int)getpid());
    assert_string_equal(p->why, expected);
    client = connect_to(&p->spec);
    close(client);
    listen_close(fd, &p->spec);
}

/* A queue that is full refuses, too, but with another error: it is alive. */
static void test_unix_busy(void **state)
{
    struct place *p = *state;
    struct listen_spec second = p->spec;
    int fd, client;

    p->spec.backlog = 0;
    fd = listen_open(&p->spec, p->why, sizeof p->why);
    client = connect_to(&p->spec);
    assert_int_equal(listen_open(&second, p->why, sizeof p->why), -ERR_SYSTEM);
    assert_int_equal(errno, EADDRINUSE);
    close(client);
    listen_close(fd, &p->spec);
}

static void check_kept(struct place *p)
{
    assert_int_equal(listen_open(&p->spec, p->why, sizeof p->why), -ERR_SYSTEM);
    assert_int_equal(errno, EEXIST);
    assert_non_null(strstr(p->why, "not a socket"));
}

static void test_other_files_stay(void **state)
{
    struct place *p = *state;
    struct stat st;
    int fd = open(p->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    close(fd);
    check_kept(p);
    assert_int_equal(lstat(p->path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    unlink(p->path);
    assert_int_equal(symlink("/nowhere", p->path), 0);
    check_kept(p);
    assert_int_equal(lstat(p->path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

/* A successor has bound the same path: the first one's end must not remove its file. */
static void test_close_keeps_successor(void **state)
{
    struct place *p = *state;
    struct listen_spec second = p->spec;
    int first = listen_open(&p->spec, p->why, sizeof p->why), fd;

    unlink(p->path);
    fd = listen_open(&second, p->why, sizeof p->why);
    assert_true(fd >= 0);
    listen_close(first, &p->spec);
    check_accepts(fd, &second);
    listen_close(fd, &second);
    assert_int_equal(access(p->path, F_OK), -1);
}

static void test_folders(void **state)
{
    struct place *p = *state;
    struct listen_spec spec = {.backlog = 16, .mode = -1};
    char path[100];

    snprintf(path, sizeof path, "%s/none/x", p->folder);
    address_unix(&spec.address, path);
    assert_int_equal(listen_open(&spec, p->why, sizeof p->why), -ERR_SYSTEM);
    assert_int_equal(errno, ENOENT);
    assert_non_null(strstr(p->why, "its folder does not exist"));
    if (geteuid() != 0) {
        address_unix(&spec.address, "/proc/1/x");
        assert_int_equal(listen_open(&spec, p->why, sizeof p->why), -ERR_SYSTEM);
    }
}

/* As an unprivileged user: the low port is refused with the reason, where this machine refuses it.
 */
static void test_low_port(void **state)
{
    struct place *p = *state;
    struct listen_spec spec = {.backlog = 16, .mode = -1};
    int fd, error;

    if (geteuid() == 0 && seteuid(65534) != 0)
        skip();
    address_inet(&spec.address, "127.0.0.1", 1);
    fd = listen_open(&spec, p->why, sizeof p->why);
    error = errno;
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    if (fd >= 0) {
        close(fd);
        skip(); /* net.ipv4.ip_unprivileged_port_start is 0 or 1, as in many containers */
    }
    assert_int_equal(error, EACCES);
    assert_non_null(strstr(p->why, "CAP_NET_BIND_SERVICE"));
}

/* What listens on [::] takes both families, or IPv6 alone, whatever the kernel's default is. */
static void test_both_families(void **state)
{
    struct place *p = *state;

    if (!has_inet6())
        skip();
    for (int both = 0; both < 2; both++) {
        struct listen_spec spec = {.backlog = 16, .both = both}, four = {.backlog = 16};
        int fd, other;

        address_inet(&spec.address, "::", 0);
        fd = listen_open(&spec, p->why, sizeof p->why);
        resolve(fd, &spec);
        assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), !both);
        address_inet(&four.address, "127.0.0.1", address_port(&spec.address));
        if (both)
            check_accepts(fd, &four);
        other = listen_open(&four, p->why, sizeof p->why);
        assert_int_equal(other >= 0, !both);
        if (other >= 0)
            listen_close(other, &four);
        listen_close(fd, &spec);
    }
}

static void test_reuse_port(void **state)
{
    struct place *p = *state;
    struct listen_spec first = {.backlog = 16, .reuse_port = true}, second, without;
    int fd, other;

    address_inet(&first.address, "127.0.0.1", 0);
    fd = listen_open(&first, p->why, sizeof p->why);
    resolve(fd, &first);
    second = without = first;
    without.reuse_port = false;
    assert_int_equal(listen_open(&without, p->why, sizeof p->why), -ERR_SYSTEM);
    assert_int_equal(errno, EADDRINUSE);
    other = listen_open(&second, p->why, sizeof p->why);
    assert_true(other >= 0);
    listen_close(other, &second);
    listen_close(fd, &first);
}

static void test_defer_accept(void **state)
{
    struct place *p = *state;

    for (int seconds = 0; seconds <= 3; seconds += 3) {
        struct listen_spec spec = {.backlog = 16, .defer_accept = seconds};
        int fd;

        address_inet(&spec.address, "127.0.0.1", 0);
        fd = listen_open(&spec, p->why, sizeof p->why);
        assert_true(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) >= seconds);
        assert_int_equal(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0, seconds > 0);
        listen_close(fd, &spec);
    }
}

/* An abstract name leaves nothing behind and belongs to whoever is first. */
static void test_abstract(void **state)
{
    struct place *p = *state;
    struct listen_spec spec = {.backlog = 16, .mode = -1}, second;
    char name[64], expected[160];
    int fd;

    snprintf(name, sizeof name, "@penstock-test-%d", (int)getpid());
    assert_int_equal(address_unix(&spec.address, name), 0);
    second = spec;
    fd = listen_open(&spec, p->why, sizeof p->why);
    check_accepts(fd, &spec);
    assert_int_equal(access(name, F_OK), -1);
    assert_int_equal(listen_open(&second, p->why, sizeof p->why), -ERR_SYSTEM);
    snprintf(expected, sizeof expected,
             "cannot listen on unix:%s: the socket is in use by test_listen (pid %d)", name,
             (int)getpid());
    assert_string_equal(p->why, expected);
    listen_close(fd, &spec);
    fd = listen_open(&second, p->why, sizeof p->why);
    assert_true(fd >= 0);
    listen_close(fd, &second);
}

static void test_owner(void **state)
{
    struct place *p = *state;
    struct stat st;
    int fd;

    p->spec.mode = 0660;
    p->spec.chown = true;
    p->spec.uid = geteuid() == 0 ? 54321 : geteuid();
    p->spec.gid = geteuid() == 0 ? 54322 : getegid();
    fd = listen_open(&p->spec, p->why, sizeof p->why);
    check_accepts(fd, &p->spec);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_uid, p->spec.uid);
    assert_int_equal(st.st_gid, p->spec.gid);
    assert_int_equal(st.st_mode & 07777, 0660);
    listen_close(fd, &p->spec);
    p->spec.gid = (gid_t)-1;
    fd = listen_open(&p->spec, p->why, sizeof p->why);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_uid, p->spec.uid);
    assert_int_equal(st.st_gid, getegid());
    listen_close(fd, &p->spec);
}

/* Who may not give it away is told so, and nothing is left behind. */
static void test_owner_refused(void **state)
{
    struct place *p = *state;
    int result;

    assert_int_equal(chmod(p->folder, 0777), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    p->spec.chown = true;
    p->spec.uid = 54321;
    p->spec.gid = (gid_t)-1;
    result = listen_open(&p->spec, p->why, sizeof p->why);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(result, -ERR_SYSTEM);
    assert_non_null(strstr(p->why, "no permission to give it to another owner or group"));
    assert_int_equal(access(p->path, F_OK), -1);
}

static void test_adopt(void **state)
{
    struct place *p = *state;
    struct listen_spec spec = {.backlog = 16}, taken = {.mode = -1};
    int fd, adopted;

    address_inet(&spec.address, "127.0.0.1", 0);
    fd = listen_open(&spec, p->why, sizeof p->why);
    resolve(fd, &spec);
    fcntl(fd, F_SETFL, 0);
    fcntl(fd, F_SETFD, 0);
    adopted = listen_adopt(fd, &taken, p->why, sizeof p->why);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(address_port(&taken.address), address_port(&spec.address));
    check_accepts(adopted, &taken);
    listen_close(adopted, &taken);
}

/* The file of a Unix socket is its maker's to remove. */
static void test_adopt_unix(void **state)
{
    struct place *p = *state;
    struct listen_spec taken = {.mode = -1};
    int fd = listen_open(&p->spec, p->why, sizeof p->why);
    int adopted = listen_adopt(fd, &taken, p->why, sizeof p->why);

    check_accepts(adopted, &p->spec);
    listen_close(adopted, &taken);
    assert_int_equal(access(p->path, F_OK), 0);
}

static void check_unfit(struct place *p, int fd, const char *reason)
{
    struct listen_spec spec = {.mode = -1};

    assert_true(fd >= 0);
    assert_int_equal(listen_adopt(fd, &spec, p->why, sizeof p->why), -ERR_CONFIG);
    if (!strstr(p->why, reason))
        fail_msg("\"%s\" does not say \"%s\"", p->why, reason);
    close(fd); /* it is still ours */
}

static void test_adopt_unfit(void **state)
{
    struct place *p = *state;
    struct listen_spec spec = {.mode = -1};
    int pair[2];

    check_unfit(p, open("/dev/null", O_RDONLY | O_CLOEXEC), "not a socket");
    check_unfit(p, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "does not listen");
    check_unfit(p, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "not a stream socket");
    check_unfit(p, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "not a stream socket");
    check_unfit(p, socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), "neither of TCP nor of Unix");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    check_unfit(p, pair[0], "does not listen");
    close(pair[1]);
    assert_int_equal(listen_adopt(999, &spec, p->why, sizeof p->why), -ERR_CONFIG);
    assert_non_null(strstr(p->why, "Bad file descriptor"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_inet),       TEST(test_port_taken),       TEST(test_not_our_address),
        TEST(test_unix),       TEST(test_unix_stale),       TEST(test_unix_live),
        TEST(test_unix_busy),  TEST(test_other_files_stay), TEST(test_close_keeps_successor),
        TEST(test_folders),    TEST(test_low_port),         TEST(test_both_families),
        TEST(test_reuse_port), TEST(test_defer_accept),     TEST(test_abstract),
        TEST(test_owner),      TEST(test_owner_refused),    TEST(test_adopt),
        TEST(test_adopt_unix), TEST(test_adopt_unfit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
