/* penstock-master: the process above all others.
 *
 * Started by the launcher (penstock/launch.py) with the checked configuration in a memfd:
 *
 *   penstock-master --config-fd N
 *
 * It has no options of its own; see src/master/master.h for what it does. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/master.h"
#include "master/spawn.h"
#include "master/title.h"

/* The descriptor's number, or -1. */
static int parse_arguments(int argc, char **argv)
{
    char *end;
    long fd;

    if (argc != 3 || strcmp(argv[1], "--config-fd") != 0 || argv[2][0] == '\0')
        return -1;
    fd = strtol(argv[2], &end, 10);
    return *end == '\0' && fd >= 0 && fd <= INT_MAX && fcntl((int)fd, F_GETFD) >= 0 ? (int)fd : -1;
}

/* Makes sure that no file of ours is taken for a standard stream, nor stands where children have
 * their channel. Returns the configuration's descriptor, now out of the way, or -1. */
static int settle_descriptors(int config_fd)
{
    int moved = fcntl(config_fd, F_DUPFD_CLOEXEC, SPAWN_CHANNEL + 1);
    int null;

    if (moved < 0)
        return -1;
    close(config_fd);
    do {
        null = open("/dev/null", O_RDWR);
    } while (null >= 0 && null < SPAWN_CHANNEL);
    if (null < 0)
        return -1;
    if (null != SPAWN_CHANNEL) {
        dup2(null, SPAWN_CHANNEL);
        close(null);
    }
    return fcntl(SPAWN_CHANNEL, F_SETFD, FD_CLOEXEC) < 0 ? -1 : moved;
}

int main(int argc, char **argv)
{
    int config_fd = parse_arguments(argc, argv);
    enum exit_status status;
    struct master master;

    if (config_fd < 0) {
        fprintf(stderr, "penstock-master is started by penstock: see penstock --help\n");
        return EXIT_USAGE;
    }
    config_fd = settle_descriptors(config_fd);
    if (config_fd < 0) {
        fprintf(stderr, "penstock: cannot set up descriptors: %s\n", strerror(errno));
        return EXIT_CONFIG;
    }
    signal(SIGPIPE, SIG_IGN);
    status = master_configure(&master, config_fd);
    title_open(&master.title, argv);
    if (status == EXIT_WELL)
        status = master_open(&master);
    if (status == EXIT_WELL)
        status = master_run(&master);
    master_close(&master);
    return (int)status;
}
