/* Starting a Python process.
 *
 * Between fork and exec the child takes on, in this order: a session of its own (so that Ctrl-C on
 * the terminal is the master's to pass on), clean signals, /dev/null as standard input, its limit
 * of descriptors, group and user, umask, folder and environment; and it keeps of the
 * descriptors 0, 1, 2 and the channel. Folder and program are looked up with the rights of its
 * user.
 *
 * Relies on the master having one thread, or little of this would be allowed after fork; and on
 * descriptor 3 being nothing that the log needs (main.c reserves it). Never returns in the child.
 */
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exits.h"
#include "loop/signals.h"

/* An argument that means nothing: room in which the child can write its title. */
static const char padding[] = "                                                                "
                              "                                                                ";

static _Noreturn void give_up(const struct spawn_order *o, const char *what, const char *which)
{
    log_event(o->log, LOG_ERROR, "a process cannot be started", LOG_STR("role", o->role),
              LOG_STR("failed", what), LOG_STR("on", which), LOG_STR("reason", strerror(errno)));
    log_close(o->log);
    _exit(EXIT_START);
}

static void take_standard_input(const struct spawn_order *o)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        give_up(o, "open", "/dev/null");
    close(null);
}

static void set_groups(const struct spawn_order *o)
{
    const struct int_list *list = &o->app->groups;
    gid_t *groups = calloc(list->count + 1, sizeof *groups);

    if (!groups)
        give_up(o, "allocate", "groups");
    for (unsigned i = 0; i < list->count; i++)
        groups[i] = (gid_t)list->items[i];
    if (setgroups(list->count, groups) < 0)
        give_up(o, "setgroups", o->app->user);
    free(groups);
}

/* The hard limit stays what it was, unless root has to raise it. */
static void set_files(const struct spawn_order *o)
{
    rlim_t most = (rlim_t)o->app->max_descriptors;
    struct rlimit files = {.rlim_cur = most, .rlim_max = o->files.rlim_max};

    if (files.rlim_max < most)
        files.rlim_max = most;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        give_up(o, "set the limit", "descriptors");
}

/* Who is not root can become only who they are. The groups come with the user. */
static void drop_privileges(const struct spawn_order *o)
{
    const struct app_options *app = o->app;
    gid_t gid = (gid_t)app->gid;
    uid_t uid = (uid_t)app->uid;

    if (app->uid >= 0 && geteuid() == 0)
        set_groups(o);
    if (app->gid >= 0 && setresgid(gid, gid, gid) < 0)
        give_up(o, "setgid", app->group ? app->group : app->user);
    if (app->uid >= 0 && setresuid(uid, uid, uid) < 0)
        give_up(o, "setuid", app->user);
    if (app->uid > 0 && setuid(0) == 0) {
        errno = EPERM;
        give_up(o, "keep from becoming root again", app->user);
    }
}

static void set_environment(const struct spawn_order *o)
{
    const struct text_table *t = &o->app->environment;

    for (unsigned i = 0; i < t->count; i++) {
        if (setenv(t->items[i].key, t->items[i].value, 1) < 0)
            give_up(o, "setenv", t->items[i].key);
    }
}

static _Noreturn void become(const struct spawn_order *o)
{
    const struct app_options *app = o->app;
    char boot[PATH_MAX];
    char *argv[] = {(char *)app->python, boot, (char *)o->role, (char *)padding, NULL};

    log_who(o->log, app->name, -1);
    setsid();
    signals_reset();
    take_standard_input(o);
    set_files(o);
    drop_privileges(o);
    if (app->umask >= 0)
        umask((mode_t)app->umask);
    if (app->directory && chdir(app->directory) < 0)
        give_up(o, "change to", app->directory);
    set_environment(o);
    snprintf(boot, sizeof boot, "%s/_boot.py", o->package);
    /* What the master opened is marked so already; this is for what it was started with. */
    close_range(SPAWN_CHANNEL, ~0U, CLOSE_RANGE_CLOEXEC);
    if (dup2(o->channel, SPAWN_CHANNEL) < 0)
        give_up(o, "dup2", "channel");
    execv(app->python, argv);
    give_up(o, "execute", app->python);
}

pid_t spawn(const struct spawn_order *o)
{
    pid_t pid;

    log_flush(o->log);
    pid = fork();
    if (pid == 0)
        become(o);
    return pid < 0 ? -ERR_SYSTEM : pid;
}
