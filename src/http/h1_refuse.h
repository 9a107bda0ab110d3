/* Answering a connection that there is no room to serve. */
#ifndef PENSTOCK_HTTP_H1_REFUSE_H
#define PENSTOCK_HTTP_H1_REFUSE_H

/* Answers whatever request there is or may come on this non-blocking connection with 503 and says
 * that it closes. The descriptor stays the caller's, who closes it next. Never waits. any thread */
void h1_refuse(int fd);

/* The same with 429, for a client that has too many connections. any thread */
void h1_refuse_client(int fd);

#endif
