/* CGI's meaning of a request's variables and of an answer's head (RFC 3875), which uwsgi, FastCGI
 * and SCGI share.
 *
 * Who sends variables is a web server that is believed: that has to be seen to before. Still
 * nothing that a client can put into them chooses code or settings, or passes for a variable that
 * the web server did not send.
 *
 * Threads: any; a decoder is used by one at a time. */
#ifndef PENSTOCK_PROTO_CGI_H
#define PENSTOCK_PROTO_CGI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "proto/fields.h"
#include "proto/vars.h"

struct cgi_options {
    size_t target;      /* bytes of the request's target: -ERR_LINE_TOO_LONG past it */
    unsigned fields;    /* -ERR_TOO_MANY_FIELDS past it */
    struct slice mount; /* where the application is when the web server does not say: "/shop", or
                           empty */
    bool whole_path;    /* PATH_INFO may still begin with SCRIPT_NAME (uwsgi's modifier 30) */
};

/* A request as its variables tell it. Slices are of the variables, of the arena, or constant. */
struct cgi_request {
    struct slice method;
    struct slice target;    /* REQUEST_URI, or made from SCRIPT_NAME, PATH_INFO and QUERY_STRING */
    struct slice scheme;    /* "http" or "https": by HTTPS, else REQUEST_SCHEME or UWSGI_SCHEME */
    struct slice authority; /* the target's, else HTTP_HOST, else SERVER_NAME and SERVER_PORT; may
                               be empty */
    struct slice path;      /* the target's, still percent-encoded; empty for "*" */
    struct slice query;     /* QUERY_STRING, else the target's; ptr is NULL when there was none */
    uint8_t major, minor;   /* of HTTP; 1.0 where SERVER_PROTOCOL does not tell */
    int64_t length;         /* CONTENT_LENGTH; -1 when it is missing or empty */

    /* Both decoded: as given, when PATH_INFO was given, else the target's path, split behind the
     * mount where it is below that. A script never ends in '/'; a path_info is empty or begins with
     * one. */
    struct slice script, path_info;
    bool path_given;

    struct slice remote_addr; /* an IP address as text; empty when it was none */
    uint16_t remote_port;     /* 0: not known */
    struct slice remote_user, server_name, server_port;

    struct field *fields; /* HTTP_x, CONTENT_TYPE and CONTENT_LENGTH, in the order they came */
    unsigned count;
    struct vars others;    /* the variables that mean nothing here: for the application */
    struct slice withheld; /* a variable that is not handed on, for the log; empty: there was none.
                              See cgi.c */
};

/* Reads a request from its variables. Of a variable that came more than once the last counts, but
 * fields are repeated fields, and two CONTENT_LENGTH or HTTP_HOST have to agree. Returns 0, or what
 * is wrong, by the same errors as in HTTP/1 where there is one: -ERR_METHOD, -ERR_TARGET,
 * -ERR_HOST_BAD, -ERR_LENGTH_BAD, ..., -ERR_SCRIPT_PATH, or -ERR_MEMORY; then `out` holds what was
 * understood before, for the log. */
int cgi_read_request(const struct vars *vars, const struct cgi_options *options,
                     struct arena *arena, struct cgi_request *out);

/* The other way: the variables of a request that is handed on to a program or another server. Of
 * `r`, path, authority and withheld are not looked at: the Host is among the fields, and who hands
 * on says what script, path_info, server_name and server_port are, and how long the body is (-1: no
 * CONTENT_LENGTH). What is empty gives no variable, but SCRIPT_NAME, PATH_INFO and QUERY_STRING,
 * which are there always. Repeated fields are joined. `r->others` come last, and so win. Returns 0,
 * -ERR_TOO_MANY_VARS, or -ERR_MEMORY. */
int cgi_write_request(const struct cgi_request *r, struct arena *arena, struct vars *out);

struct cgi_answer_limits {
    size_t head;     /* bytes of the head with its empty line: -ERR_ANSWER_TOO_LARGE past it */
    unsigned fields; /* of which fields as many: likewise */
};

/* The head of an answer. Slices are of the decoded bytes. */
struct cgi_answer {
    int status; /* 200 where nothing is said; with `raw` also 100 to 199 */
    struct slice reason;
    struct slice local;   /* a path and query that the server itself is to request instead (RFC 3875
                             section 6.2.2); empty: the answer is for the client */
    int64_t length;       /* of the content; -1 when it is not said */
    bool raw;             /* it began with a status line: nph scripts, uwsgi */
    struct field *fields; /* without Status and what concerns one connection (but Upgrade in 101) */
    unsigned count;
};

/* One answer's head on its way in; private to cgi.c. */
struct cgi_answer_decoder {
    size_t line, scanned;
};

/* Decodes the head of an answer. `in` begins at its first byte and holds every byte that has come
 * so far; `d` is zero at first; `fields` has room for limits->fields. Returns the bytes taken (with
 * the empty line), 0 when more are needed, or -ERR_ANSWER_x, -ERR_FIELD_NAME or -ERR_FIELD_VALUE,
 * which say what is wrong with the program or server that sent it. The outcome is the same however
 * the bytes are cut. */
int cgi_decode_answer(struct cgi_answer_decoder *d, struct slice in,
                      const struct cgi_answer_limits *limits, struct field *fields,
                      struct cgi_answer *out);

#endif
