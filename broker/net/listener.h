/* SPDX-License-Identifier: Apache-2.0
 *
 * net/listener.h: one address that the broker listens on.
 *
 * URLs: tcp://HOST:PORT (IPv4, [IPv6], or a name; port 0 picks a free one; HOST empty or *: every address),
 * kafka://HOST:PORT[?advertise=HOST:PORT] with the address that clients are sent to, and unix:PATH. A Unix
 * socket file that nobody answers on is a dead broker's and is replaced; one that somebody answers on is
 * refused.
 *
 * States: listening -> (paused for lack of descriptors, by a timer) -> closing -> closed.
 */
#ifndef RUNNEL_NET_LISTENER_H
#define RUNNEL_NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct io;
struct listener;
struct net_door;
struct timers;

enum {
    LISTENER_WHY_BYTES = 256,
    LISTENER_TEXT_BYTES = 160,
    LISTENER_HOST_BYTES = 256, /* a DNS name has at most 253 characters */
};

enum listener_protocol { LISTENER_NATIVE, LISTENER_KAFKA };

struct listener_address {
    enum listener_protocol protocol;
    bool local;    /* a Unix socket */
    bool loopback; /* reachable from this machine only */
    struct sockaddr_storage addr;
    socklen_t len;
    /* What clients are told to connect to; empty: the address at which each of them came. */
    char advertised_host[LISTENER_HOST_BYTES];
    uint16_t advertised_port;
};

/* Reads a URL; resolves a host name (blocking). False with a sentence in `why`. */
bool listener_parse(const char *url, struct listener_address *out, char *why);
/* Binds and starts accepting; connections come in by `door`, which is lent. 0, or a negative errno with a
 * sentence in `why`. Start-up only. */
int listener_open(struct listener **out, const char *url, const struct listener_address *address,
                  const struct net_door *door, struct io *io, struct timers *timers, char *why);
/* Where it listens, the port filled in: "tcp://127.0.0.1:7411" (LISTENER_TEXT_BYTES). */
void listener_text(const struct listener *l, char *out);
/* Stops accepting and removes the socket file; closed once listener_closed(). */
void listener_close(struct listener *l);
bool listener_closed(const struct listener *l);
void listener_destroy(struct listener *l);

#endif
