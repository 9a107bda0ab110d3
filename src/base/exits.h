/* Exit statuses of the master and of its children: between processes, and towards who started the
 * server. */
#ifndef PENSTOCK_BASE_EXITS_H
#define PENSTOCK_BASE_EXITS_H

enum exit_status {
    EXIT_WELL,
    EXIT_CONFIG, /* the configuration is wrong, or what it asks for cannot be had */
    EXIT_USAGE,
    EXIT_START, /* a process could not be started */
    EXIT_IMPORT /* the application could not be imported; the child has logged why */
};

#endif
