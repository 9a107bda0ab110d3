/* Exit statuses: the master's towards who started it, and its children's towards the master. */
#ifndef PENSTOCK_MASTER_EXITS_H
#define PENSTOCK_MASTER_EXITS_H

enum exit_status {
    EXIT_WELL,
    EXIT_CONFIG, /* the configuration is wrong, or what it asks for cannot be had */
    EXIT_USAGE,
    EXIT_START, /* a process could not be started */
    EXIT_IMPORT /* the application could not be imported; the child has logged why */
};

#endif
