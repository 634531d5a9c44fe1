/* SPDX-License-Identifier: Apache-2.0
 *
 * client/conn/transport.c: see transport.h.
 */
#include "client/conn/transport.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- addresses ---- */

static int resolve_unix(const char *path, struct address_list *out, char *why)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    if (!*path || strlen(path) >= sizeof(un.sun_path)) {
        snprintf(why, 256, "unix: the path of a socket has 1 to %zu bytes", sizeof(un.sun_path) - 1);
        return ERR_CLIENT_ARGUMENT;
    }
    memcpy(un.sun_path, path, strlen(path) + 1);
    memcpy(&out->items[0].at, &un, sizeof(un));
    out->items[0].len = sizeof(un);
    out->count = 1;
    return ERR_OK;
}

/* "HOST:PORT" or "[V6]:PORT" taken apart; false: neither. */
static bool split_host(const char *text, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *from = text, *end, *colon;
    if (*text == '[') {
        from = text + 1;
        end = strchr(from, ']');
        if (!end || end[1] != ':')
            return false;
        colon = end + 1;
    } else {
        colon = strrchr(text, ':');
        end = colon;
        if (!colon || memchr(text, ':', (size_t)(colon - text)))
            return false;
    }
    if (end == from || (size_t)(end - from) >= host_size || !colon[1] || strlen(colon + 1) >= port_size)
        return false;
    memcpy(host, from, (size_t)(end - from));
    host[end - from] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return strspn(port, "0123456789") == strlen(port) && atoi(port) > 0 && atoi(port) < 65536;
}

int transport_resolve(const char *url, struct address_list *out, char *why)
{
    char host[256], port[8];
    out->count = 0;
    if (strncmp(url, "unix:", 5) == 0)
        return resolve_unix(url + 5, out, why);
    const char *rest = strncmp(url, "tcp://", 6) == 0 ? url + 6 : url;
    if (strstr(rest, "//") || !split_host(rest, host, sizeof(host), port, sizeof(port))) {
        snprintf(why, 256, "'%.128s' is not an address: use tcp://HOST:PORT or unix:PATH", url);
        return ERR_CLIENT_ARGUMENT;
    }
    struct addrinfo hints = { .ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc) {
        snprintf(why, 256, "host '%.128s' cannot be looked up: %s", host, gai_strerror(rc));
        return ERR_CLIENT_UNREACHABLE;
    }
    for (struct addrinfo *a = found; a && out->count < TRANSPORT_ADDRESSES_MAX; a = a->ai_next) {
        if (a->ai_addrlen > sizeof(out->items[0].at))
            continue;
        memcpy(&out->items[out->count].at, a->ai_addr, a->ai_addrlen);
        out->items[out->count++].len = a->ai_addrlen;
    }
    freeaddrinfo(found);
    return ERR_OK;
}

/* ---- life ---- */

void transport_init(struct transport *t, void *ctx)
{
    memset(t, 0, sizeof(*t));
    t->fd = -1;
    t->ctx = ctx;
    t->frame_max = TRANSPORT_FRAME_FIRST_MAX;
    TAILQ_INIT(&t->out);
    TAILQ_INIT(&t->idle);
}

void transport_free(struct transport *t)
{
    transport_close(t);
    struct block *b;
    while ((b = TAILQ_FIRST(&t->idle))) {
        TAILQ_REMOVE(&t->idle, b, link);
        free(b);
    }
    free(t->control);
    t->control = NULL;
}

int transport_open(struct transport *t, const struct address *to)
{
    int fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (to->at.ss_family != AF_UNIX) {
        int one = 1; /* an event must not wait for the acknowledgement of the one before */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    if (connect(fd, (const struct sockaddr *)&to->at, to->len) < 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        return -error;
    }
    t->fd = fd;
    t->want_write = true;
    return 0;
}

void transport_adopt(struct transport *t, int fd)
{
    t->fd = fd;
    t->want_write = true;
}

int transport_connected(struct transport *t)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    if (error)
        return -error;
    struct sockaddr_storage peer;
    len = sizeof(peer);
    if (getpeername(t->fd, (struct sockaddr *)&peer, &len) < 0)
        return errno == ENOTCONN ? 0 : -errno;
    t->want_write = false;
    return 1;
}

static void block_release(struct transport *t, struct block *b)
{
    if (b->size == TRANSPORT_BLOCK_BYTES && t->idle_count < TRANSPORT_BLOCKS_IDLE_MAX) {
        TAILQ_INSERT_HEAD(&t->idle, b, link);
        t->idle_count++;
    } else {
        free(b);
    }
}

void transport_close(struct transport *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    t->want_write = false;
    t->control_from = t->control_to = 0;
    struct outgoing *o;
    while ((o = TAILQ_FIRST(&t->out))) {
        TAILQ_REMOVE(&t->out, o, link);
        o->queued = false;
    }
    /* A pinned block is released by its last reader. */
    struct block *b = t->in;
    t->in = NULL;
    t->in_from = t->in_to = 0;
    t->frame_max = TRANSPORT_FRAME_FIRST_MAX;
    if (b && b->pins == 0)
        block_release(t, b);
}

/* ---- out ---- */

uint8_t *transport_control_room(struct transport *t, uint32_t bytes)
{
    if (t->control_from == t->control_to)
        t->control_from = t->control_to = 0;
    if (t->control_size - t->control_to >= bytes)
        return t->control + t->control_to;
    uint32_t used = t->control_to - t->control_from;
    if (t->control_from && used)
        memmove(t->control, t->control + t->control_from, used);
    t->control_from = 0;
    t->control_to = used;
    if (bytes > TRANSPORT_CONTROL_BYTES_MAX - used)
        return NULL;
    uint32_t size = t->control_size ? t->control_size : 4096;
    while (size < used + bytes)
        size *= 2;
    if (size > t->control_size) {
        uint8_t *grown = realloc(t->control, size);
        if (!grown)
            return NULL;
        t->control = grown;
        t->control_size = size;
    }
    return t->control + used;
}

void transport_control_add(struct transport *t, uint32_t bytes)
{
    t->control_to += bytes;
}

void transport_queue(struct transport *t, struct outgoing *o)
{
    o->sent = 0;
    o->queued = true;
    TAILQ_INSERT_TAIL(&t->out, o, link);
}

bool transport_pending(const struct transport *t)
{
    return t->control_to > t->control_from || !TAILQ_EMPTY(&t->out);
}

static bool mid_frame(const struct outgoing *o)
{
    return o && (o->sent || o->follows);
}

static int fill_iov(struct transport *t, struct iovec *iov)
{
    int n = 0;
    struct outgoing *o = TAILQ_FIRST(&t->out);
    for (; mid_frame(o); o = TAILQ_NEXT(o, link)) {
        if (n == TRANSPORT_IOV_MAX)
            return n;
        iov[n++] = (struct iovec){ (void *)(o->at + o->sent), o->len - o->sent };
    }
    if (t->control_to > t->control_from)
        iov[n++] = (struct iovec){ t->control + t->control_from, t->control_to - t->control_from };
    for (; o && n < TRANSPORT_IOV_MAX; o = TAILQ_NEXT(o, link))
        iov[n++] = (struct iovec){ (void *)o->at, o->len };
    return n;
}

/* Takes up to *left bytes off one frame; true when all of it has gone. */
static bool sent_from(struct transport *t, struct outgoing *o, size_t *left)
{
    uint32_t rest = o->len - o->sent;
    if (*left < rest) {
        o->sent += (uint32_t)*left;
        *left = 0;
        return false;
    }
    *left -= rest;
    o->sent = o->len;
    o->queued = false;
    TAILQ_REMOVE(&t->out, o, link);
    t->on_sent(t->ctx, o);
    return true;
}

/* In the order of fill_iov(). */
static void sent_bytes(struct transport *t, size_t n)
{
    struct outgoing *o = TAILQ_FIRST(&t->out);
    for (; mid_frame(o); o = TAILQ_FIRST(&t->out))
        if (!sent_from(t, o, &n))
            return;
    uint32_t control = t->control_to - t->control_from;
    if (n < control) {
        t->control_from += (uint32_t)n;
        return;
    }
    t->control_from = t->control_to = 0;
    n -= control;
    while (n && (o = TAILQ_FIRST(&t->out)))
        if (!sent_from(t, o, &n))
            return;
}

int transport_send(struct transport *t)
{
    while (transport_pending(t)) {
        struct iovec iov[TRANSPORT_IOV_MAX + 1];
        struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)fill_iov(t, iov) };
        ssize_t n = sendmsg(t->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            t->want_write = errno == EAGAIN;
            return errno == EAGAIN ? 0 : -errno;
        }
        sent_bytes(t, (size_t)n);
    }
    t->want_write = false;
    return 0;
}

/* ---- in ---- */

struct block *transport_block_new(uint32_t bytes)
{
    struct block *b = malloc(sizeof(*b) + bytes);
    if (b)
        b->size = bytes;
    if (b)
        b->pins = b->pinned_bytes = 0;
    return b;
}

static struct block *block_take(struct transport *t, uint32_t bytes)
{
    struct block *b = TAILQ_FIRST(&t->idle);
    if (bytes > TRANSPORT_BLOCK_BYTES || !b)
        return transport_block_new(bytes > TRANSPORT_BLOCK_BYTES ? bytes : TRANSPORT_BLOCK_BYTES);
    TAILQ_REMOVE(&t->idle, b, link);
    t->idle_count--;
    return b;
}

void transport_pin(struct block *b, uint32_t bytes)
{
    b->pins++;
    b->pinned_bytes += bytes;
}

void transport_unpin(struct transport *t, struct block *b, uint32_t bytes)
{
    b->pinned_bytes -= bytes;
    if (--b->pins == 0 && b != t->in)
        block_release(t, b);
}

/* Bytes of the frame at the front, as far as they are known. */
static uint32_t frame_bytes(const struct transport *t)
{
    struct wire_header h;
    uint32_t have = t->in_to - t->in_from;
    if (!wire_header_decode(&h, t->in->data + t->in_from, have))
        return WIRE_HEADER;
    return h.size < WIRE_HEADER || h.size > t->frame_max ? WIRE_HEADER : h.size;
}

/* Sees to it that the frame which is coming fits behind in_from. */
static bool make_room(struct transport *t)
{
    enum { ROOM_MIN = 64 << 10 }; /* less is not worth a system call */
    if (!t->in) {
        t->in = block_take(t, TRANSPORT_BLOCK_BYTES);
        return t->in != NULL;
    }
    uint32_t have = t->in_to - t->in_from, frame = frame_bytes(t);
    if (have == 0 && t->in->pins == 0)
        t->in_from = t->in_to = 0;
    if (t->in->size - t->in_from >= frame && (frame > have + ROOM_MIN || t->in->size - t->in_to >= ROOM_MIN))
        return true;
    struct block *old = t->in;
    if (old->pins == 0 && frame <= old->size && old->size - have >= ROOM_MIN) {
        memmove(old->data, old->data + t->in_from, have);
    } else {
        struct block *b = block_take(t, frame + ROOM_MIN);
        if (!b)
            return false;
        memcpy(b->data, old->data + t->in_from, have);
        t->in = b;
        if (old->pins == 0)
            block_release(t, old);
        else
            t->on_retire(t->ctx, old);
    }
    t->in_from = 0;
    t->in_to = have;
    return true;
}

int64_t transport_receive(struct transport *t)
{
    if (!make_room(t))
        return -ENOMEM;
    uint32_t room = t->in->size - t->in_to;
    if (room > TRANSPORT_RECEIVE_BYTES)
        room = TRANSPORT_RECEIVE_BYTES;
    for (;;) {
        ssize_t n = recv(t->fd, t->in->data + t->in_to, room, MSG_DONTWAIT);
        if (n > 0) {
            t->in_to += (uint32_t)n;
            return n;
        }
        if (n == 0)
            return -ECONNRESET;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

int transport_frame(struct transport *t, struct wire_header *h, struct reader *body)
{
    if (!t->in)
        return 0;
    uint32_t have = t->in_to - t->in_from;
    const uint8_t *p = t->in->data + t->in_from;
    if (!wire_header_decode(h, p, have))
        return 0;
    if (h->size < WIRE_HEADER || h->size > t->frame_max)
        return -1;
    if (have < h->size)
        return 0;
    *body = reader_of(p + WIRE_HEADER, h->size - WIRE_HEADER);
    t->in_from += h->size;
    return 1;
}
