/* FastCGI 1.0, both directions: records, streams, name-value pairs, and which request of a
 * connection a record is for ("FastCGI Specification", version 1.0; sections are its).
 *
 * A connection carries records of a web server to an application and back. fcgi_decode() takes them
 * apart, whoever sent them; fcgi_accept() does so for an application and keeps the streams of
 * several requests in order. The fcgi_encode functions append records. Answers of Responders and
 * Authorizers are like a CGI program's: cgi.h reads their head.
 *
 * Threads: any; a decoder is used by one at a time. */
#ifndef PENSTOCK_PROTO_FASTCGI_H
#define PENSTOCK_PROTO_FASTCGI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/vars.h"

enum {
    FCGI_HEAD = 8,            /* bytes of a record's head */
    FCGI_BODY = 8,            /* of the content of BEGIN_REQUEST, END_REQUEST and UNKNOWN_TYPE */
    FCGI_CONTENT_MAX = 65535, /* of any record's */
    FCGI_VALUES_MAX = 1024,   /* of a GET_VALUES or its result: a cap of ours */
};

/* Section 8; FCGI_NOTHING is no type but an event without meaning. */
enum fcgi_type {
    FCGI_NOTHING,
    FCGI_BEGIN_REQUEST,
    FCGI_ABORT_REQUEST,
    FCGI_END_REQUEST,
    FCGI_PARAMS,
    FCGI_STDIN,
    FCGI_STDOUT,
    FCGI_STDERR,
    FCGI_DATA,
    FCGI_GET_VALUES,
    FCGI_GET_VALUES_RESULT,
    FCGI_UNKNOWN_TYPE,
    FCGI_TYPES
};

enum fcgi_role { FCGI_RESPONDER = 1, FCGI_AUTHORIZER, FCGI_FILTER };

/* How END_REQUEST says that a request ended (section 5.5). */
enum fcgi_status { FCGI_REQUEST_COMPLETE, FCGI_CANT_MPX_CONN, FCGI_OVERLOADED, FCGI_UNKNOWN_ROLE };

/* Who sends what is decoded. */
enum fcgi_sender { FCGI_FROM_SERVER, FCGI_FROM_APPLICATION };

struct fcgi_request;

/* What one call of the decoder found. */
struct fcgi_event {
    enum fcgi_type type;
    uint16_t id;        /* of the request; 0 for what concerns the connection */
    struct slice bytes; /* the next of a stream, or the pairs of GET_VALUES and its result */
    bool last;          /* the stream is at its end; there are no bytes then */

    /* BEGIN_REQUEST */
    uint16_t role;
    bool keep; /* the connection is to be used again after this request */

    /* END_REQUEST; for fcgi_accept(), also BEGIN_REQUEST: see there */
    uint8_t status;
    uint32_t app_status;

    /* UNKNOWN_TYPE from an application: the type that it did not know. From a web server: it sent a
     * record of this type, which has to be answered with fcgi_encode_unknown(). */
    uint8_t unknown;

    struct fcgi_request *request; /* by fcgi_accept(): the request meant */
};

/* Private to fastcgi.c. */
struct fcgi_decoder {
    enum fcgi_sender sender;
    uint8_t state, type, padding;
    uint16_t id, left;
    int error;
};

void fcgi_decoder_init(struct fcgi_decoder *d, enum fcgi_sender sender);

/* Decodes what comes next on the connection, up to one event. Returns the bytes taken, with the
 * event (FCGI_NOTHING when they led to none); 0 when more are needed: `in` then has to come again,
 * with more behind it, and never needs to be longer than FCGI_VALUES_MAX bytes. Streams come as
 * they are, cut anywhere; their bytes are slices of `in`. Returns -ERR_FCGI_VERSION, -ERR_FCGI_TYPE
 * or -ERR_FCGI_CONTENT for a peer that breaks the protocol, from then on at every call. Records of
 * a type that does not exist are skipped, but for the one that has to be answered. */
int fcgi_decode(struct fcgi_decoder *d, struct slice in, struct fcgi_event *event);

/* Takes all pairs of a stream of PARAMS, or of GET_VALUES or its result, apart (section 3.4).
 * Returns 0, or -ERR_VARS when they do not add up or -ERR_TOO_MANY_VARS, and then `vars` is as it
 * was. */
int fcgi_decode_pairs(struct slice pairs, struct vars *vars);

/* ---- An application's side of a connection ---- */

/* A request that an application has at work. */
struct fcgi_request {
    uint16_t id;  /* 0: no request has this place */
    uint8_t role; /* enum fcgi_role */
    uint8_t state;
    bool keep;
};

/* A connection to an application. */
struct fcgi_acceptor {
    struct fcgi_decoder decoder;
    struct fcgi_request *requests; /* `room` places, the caller's; at first all zero */
    unsigned room;
};

void fcgi_acceptor_init(struct fcgi_acceptor *a, struct fcgi_request *requests, unsigned room);

/* fcgi_decode() for an application, and what the order of records allows (sections 3.3 and 6):
 *   - BEGIN_REQUEST: `request` is its new place. Or it is NULL and `status` says why it cannot be
 *     served (unknown role, no room), to be answered with fcgi_encode_end(); its records are then
 *     skipped.
 *   - PARAMS, STDIN, DATA, ABORT_REQUEST: `request` is what they are for. Each stream ends once,
 *     one after another in this order; an Authorizer has PARAMS alone, only a Filter DATA.
 *   - Records for a request that is not at work are skipped: what was on its way when it ended.
 * Returns as fcgi_decode() does, and -ERR_FCGI_ORDER, likewise for good. */
int fcgi_accept(struct fcgi_acceptor *a, struct slice in, struct fcgi_event *event);

/* Gives the place of a request back when its END_REQUEST is sent. What it has not read is skipped
 * from now on. */
void fcgi_ended(struct fcgi_request *request);

/* ---- Encoding. All return 0, or -ERR_FULL or -ERR_MEMORY and have appended nothing. ---- */

/* Writes the head of a record whose content of `length` bytes and `padding` bytes follow. */
void fcgi_encode_head(char out[static FCGI_HEAD], enum fcgi_type type, uint16_t id, uint16_t length,
                      uint8_t padding);

/* What a web server sends. */
int fcgi_encode_begin(struct buf *b, uint16_t id, enum fcgi_role role, bool keep);
int fcgi_encode_params(struct buf *b, uint16_t id, const struct vars *vars); /* and their end */
int fcgi_encode_abort(struct buf *b, uint16_t id);
int fcgi_encode_get_values(struct buf *b);

/* A piece of a stream in as many records as it takes; no bytes at all are the stream's end. */
int fcgi_encode_stream(struct buf *b, enum fcgi_type type, uint16_t id, struct slice bytes);

/* What an application sends. */
int fcgi_encode_end(struct buf *b, uint16_t id, uint32_t app_status, enum fcgi_status status);
int fcgi_encode_unknown(struct buf *b, uint8_t type);

/* What an application says of itself when asked (section 4.1). */
struct fcgi_abilities {
    unsigned connections; /* FCGI_MAX_CONNS: at once */
    unsigned requests;    /* FCGI_MAX_REQS: at once, over all connections */
    bool multiplexes;     /* FCGI_MPXS_CONNS: several on one connection */
};

/* Answers a GET_VALUES of these pairs: of the names asked for those that are known, each once. Also
 * -ERR_VARS. */
int fcgi_encode_values(struct buf *b, struct slice asked, const struct fcgi_abilities *abilities);

/* Reads a GET_VALUES_RESULT: what it does not name stays as it is. -ERR_VARS when a value is no
 * number. */
int fcgi_decode_values(struct slice pairs, struct fcgi_abilities *abilities);

#endif
