/* SPDX-License-Identifier: Apache-2.0
 *
 * net/listener.c: binding, accepting, and waiting when descriptors run out.
 */
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/mem.h"
#include "io/io.h"
#include "io/timer.h"
#include "net/net.h"

enum {
    LISTENER_BACKLOG = 4096,   /* the kernel caps it at net.core.somaxconn */
    LISTENER_KEEPALIVE_S = 60, /* silence after which a peer is asked whether it is there */
    LISTENER_PAUSE_MS = 100,   /* without descriptors: by then a connection may have closed */
};

struct listener {
    const struct net_door *door;
    const char *scheme;
    struct io *io;
    struct timers *timers;
    int fd;
    bool closing, closed, cancel_sent;
    char text[LISTENER_TEXT_BYTES];
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1]; /* of a Unix socket; else empty */
    struct timer pause;
    struct io_op accept_op, stop_op;
};

static void listener_advance(struct listener *l);

/* ---- addresses ---- */

#define TCP   "tcp://"
#define KAFKA "kafka://"

static bool listener_parse_unix(const char *path, struct listener_address *out, char *why)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->addr;
    const size_t len = strlen(path);
    if (len == 0 || len >= sizeof(un->sun_path)) {
        snprintf(
            why, LISTENER_WHY_BYTES,
            len ? "the socket path has %zu characters, the system takes at most %zu: choose a shorter one"
                : "unix: without a path: write unix:/path/to/socket",
            len, sizeof(un->sun_path) - 1);
        return false;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    out->local = out->loopback = true;
    return true;
}

/* "HOST:PORT" or "[HOST]:PORT" into its parts. */
static bool listener_split(const char *text, char *host, char *port)
{
    const bool bracket = text[0] == '[';
    const char *end = bracket ? strchr(text, ']') : strrchr(text, ':');
    if (!end)
        return false;
    const char *start = bracket ? text + 1 : text;
    const char *colon = bracket ? end + 1 : end;
    const size_t host_len = (size_t)(end - start), port_len = *colon == ':' ? strlen(colon + 1) : 0;
    if (port_len == 0 || port_len > 5 || host_len >= LISTENER_HOST_BYTES)
        return false;
    if (!bracket && memchr(start, ':', host_len))
        return false; /* an IPv6 address without brackets: which colon starts the port? */
    memcpy(host, start, host_len);
    host[host_len] = '\0';
    memcpy(port, colon + 1, port_len + 1);
    for (size_t i = 0; i < port_len; i++) {
        if (port[i] < '0' || port[i] > '9')
            return false;
    }
    return strtoul(port, NULL, 10) <= 65535;
}

static bool listener_is_loopback(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr) >> 24) == 127;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)addr)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

static bool listener_parse_tcp(const char *scheme, const char *text, struct listener_address *out, char *why)
{
    char host[LISTENER_HOST_BYTES], port[8];
    if (!listener_split(text, host, port)) {
        snprintf(why, LISTENER_WHY_BYTES, "%s%.100s is not an address: write %sHOST:PORT or %s[IPv6]:PORT",
                 scheme, text, scheme, scheme);
        return false;
    }
    const bool any = host[0] == '\0' || strcmp(host, "*") == 0;
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_family = any ? AF_INET : AF_UNSPEC };
    struct addrinfo *found = NULL;
    const int rc = getaddrinfo(any ? NULL : host, port, &hints, &found);
    if (rc != 0 || !found) {
        snprintf(why, LISTENER_WHY_BYTES,
                 "host %.100s cannot be resolved (%s): give an address of this machine", host,
                 gai_strerror(rc));
        return false;
    }
    memcpy(&out->addr, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    out->loopback = listener_is_loopback(found->ai_addr);
    freeaddrinfo(found);
    return true;
}

/* "HOST:PORT[?advertise=HOST:PORT]" */
static bool listener_parse_kafka(const char *text, struct listener_address *out, char *why)
{
    static const char ADVERTISE[] = "?advertise=";
    char own[LISTENER_HOST_BYTES + 16], port[8];
    const size_t own_len = strcspn(text, "?");
    const char *query = text + own_len;
    out->protocol = LISTENER_KAFKA;
    snprintf(own, sizeof(own), "%.*s", (int)own_len, text);
    if (own_len >= sizeof(own) || !listener_parse_tcp(KAFKA, own, out, why))
        return false;
    if (query[0] == '\0')
        return true;
    if (strncmp(query, ADVERTISE, strlen(ADVERTISE)) != 0 ||
        !listener_split(query + strlen(ADVERTISE), out->advertised_host, port) ||
        out->advertised_host[0] == '\0' || strcmp(out->advertised_host, "*") == 0 ||
        (out->advertised_port = (uint16_t)strtoul(port, NULL, 10)) == 0) {
        snprintf(why, LISTENER_WHY_BYTES,
                 KAFKA
                 "%.120s: after the address only ?advertise=HOST:PORT may stand: the one that clients reach",
                 text);
        return false;
    }
    return true;
}

bool listener_parse(const char *url, struct listener_address *out, char *why)
{
    *out = (struct listener_address){ 0 };
    if (strncmp(url, "unix:", 5) == 0)
        return listener_parse_unix(url + 5, out, why);
    if (strncmp(url, TCP, strlen(TCP)) == 0)
        return listener_parse_tcp(TCP, url + strlen(TCP), out, why);
    if (strncmp(url, KAFKA, strlen(KAFKA)) == 0)
        return listener_parse_kafka(url + strlen(KAFKA), out, why);
    snprintf(why, LISTENER_WHY_BYTES,
             "%.100s is not a listener URL: write tcp://HOST:PORT, unix:PATH or kafka://HOST:PORT", url);
    return false;
}

/* ---- binding ---- */

/* A socket file is left behind by a broker that was killed. Only when nobody answers is it removed. */
static int listener_remove_stale(const struct listener_address *address, const char *path, char *why)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        snprintf(why, LISTENER_WHY_BYTES, "%.120s exists and is not a socket: choose another path", path);
        return -EEXIST;
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    const int rc = connect(fd, (const struct sockaddr *)&address->addr, address->len) ? errno : 0;
    close(fd);
    if (rc == ECONNREFUSED) {
        diag(DIAG_INFO, "net", "socket file of a dead process replaced", DIAG_KS("path", path));
        return unlink(path) && errno != ENOENT ? -errno : 0;
    }
    snprintf(why, LISTENER_WHY_BYTES,
             "another process listens on unix:%.120s: stop it or choose another path", path);
    return -EADDRINUSE;
}

/* On Linux accepted sockets inherit these: no call for each connection. */
static void listener_tcp_options(int fd)
{
    const int on = 1, idle_s = LISTENER_KEEPALIVE_S, interval_s = LISTENER_KEEPALIVE_S / 4, count = 4;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* Replies are coalesced in output.c already: the kernel's own waiting would only add delay. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* A peer whose machine went without a word would hold its slot for ever. The kernel answers for a client
     * that is merely busy. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static int listener_bind(struct listener *l, const struct listener_address *address, char *why)
{
    const struct sockaddr *addr = (const struct sockaddr *)&address->addr;
    const int on = 1;
    if (addr->sa_family == AF_INET6)
        (void)setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (!address->local)
        listener_tcp_options(l->fd);
    int rc = bind(l->fd, addr, address->len) ? -errno : 0;
    if (rc == -EADDRINUSE && address->local) {
        rc = listener_remove_stale(address, ((const struct sockaddr_un *)addr)->sun_path, why);
        if (rc == 0)
            rc = bind(l->fd, addr, address->len) ? -errno : 0;
    }
    if (rc == 0 && listen(l->fd, LISTENER_BACKLOG))
        rc = -errno;
    return rc;
}

/* After a kill the old process's ring is torn down behind its end, and until then its sockets still look
 * alive: an address in use is asked for again for a while. Blocking; start-up only. */
static int listener_bind_patiently(struct listener *l, const struct listener_address *address, char *why)
{
    enum { PAUSE_MS = 5, TRIES = 400 };
    int rc;
    for (int i = 0; i < TRIES; i++) {
        why[0] = '\0';
        rc = listener_bind(l, address, why);
        if (rc != -EADDRINUSE)
            return rc;
        poll(NULL, 0, PAUSE_MS);
    }
    return rc;
}

static void listener_name(struct listener *l)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t len = sizeof(addr);
    char host[INET6_ADDRSTRLEN] = "?";
    if (getsockname(l->fd, (struct sockaddr *)&addr, &len))
        return;
    if (addr.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&addr;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(l->text, sizeof(l->text), "%s%s:%u", l->scheme, host, ntohs(in->sin_port));
    } else if (addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        snprintf(l->text, sizeof(l->text), "%s[%s]:%u", l->scheme, host, ntohs(in6->sin6_port));
    } else {
        snprintf(l->text, sizeof(l->text), "unix:%s", l->path);
    }
}

static void listener_pause_over(struct timer *timer)
{
    listener_advance(CONTAINER_OF(timer, struct listener, pause));
}

int listener_open(struct listener **out, const char *url, const struct listener_address *address,
                  const struct net_door *door, struct io *io, struct timers *timers, char *why)
{
    struct listener *l = mem_zalloc(MEM_NET, sizeof(*l));
    l->door = door;
    l->scheme = address->protocol == LISTENER_KAFKA ? KAFKA : TCP;
    l->io = io;
    l->timers = timers;
    l->accept_op.name = "accept";
    l->stop_op.name = "listener-stop";
    timer_init(&l->pause, listener_pause_over);
    why[0] = '\0';
    l->fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int rc = l->fd < 0 ? -errno : listener_bind_patiently(l, address, why);
    if (rc < 0) {
        if (why[0] == '\0')
            snprintf(why, LISTENER_WHY_BYTES, "cannot listen on %.120s: %s", url, strerror(-rc));
        if (l->fd >= 0)
            close(l->fd);
        mem_free(MEM_NET, l, sizeof(*l));
        return rc;
    }
    if (address->local)
        snprintf(l->path, sizeof(l->path), "%s", ((const struct sockaddr_un *)&address->addr)->sun_path);
    listener_name(l);
    listener_advance(l);
    *out = l;
    return 0;
}

/* ---- accepting ---- */

static void listener_accept_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct listener *l = CONTAINER_OF(op, struct listener, accept_op);
    if (res >= 0) {
        if (l->closing)
            close(res);
        else
            net_add(l->door, res);
    } else if (!l->closing && (res == -EMFILE || res == -ENFILE || res == -ENOMEM || res == -ENOBUFS)) {
        /* Accepting again at once would fail again at once: the loop would burn a core. */
        net_accept_paused(l->door->net);
        diag(DIAG_WARN, "net", "accepting pauses: no descriptor is free; raise the limit of open files",
             DIAG_KS("error", strerror(-res)), DIAG_KS("listener", l->text));
        timer_start(l->timers, &l->pause, LISTENER_PAUSE_MS);
    }
    if (!(flags & IO_MORE))
        listener_advance(l);
}

static void listener_stop_done(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)res;
    (void)flags;
    struct listener *l = CONTAINER_OF(op, struct listener, stop_op);
    listener_advance(l);
}

static void listener_advance(struct listener *l)
{
    if (!l->closing) {
        if (!io_busy(&l->accept_op) && !timer_running(&l->pause))
            io_accept(l->io, &l->accept_op, l->fd, listener_accept_done);
        return;
    }
    if (io_busy(&l->accept_op)) {
        if (!l->cancel_sent) {
            l->cancel_sent = true;
            io_cancel(l->io, &l->stop_op, &l->accept_op, listener_stop_done);
        }
        return;
    }
    if (io_busy(&l->stop_op) || l->closed)
        return;
    close(l->fd);
    l->closed = true;
}

void listener_text(const struct listener *l, char *out)
{
    memcpy(out, l->text, sizeof(l->text));
}

void listener_close(struct listener *l)
{
    if (l->closing)
        return;
    l->closing = true;
    timer_stop(l->timers, &l->pause);
    if (l->path[0])
        (void)unlink(l->path);
    listener_advance(l);
}

bool listener_closed(const struct listener *l)
{
    return l->closed;
}

void listener_destroy(struct listener *l)
{
    CHECK(l->closed);
    mem_free(MEM_NET, l, sizeof(*l));
}
