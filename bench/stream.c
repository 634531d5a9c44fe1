/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/stream.c: see the header.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

enum { CONNECT_MS = 5000 };

static int connect_unix(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(a.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int connect_tcp(const char *host, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    if (getaddrinfo(host, port, &hints, &found)) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct timeval limit = { CONNECT_MS / 1000, 0 };
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    int one = 1;
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static int connect_url(const char *url, uint16_t default_port)
{
    if (strncmp(url, "unix:", 5) == 0)
        return connect_unix(url + 5);
    const char *at = strstr(url, "://");
    char host[256], port[16];
    snprintf(host, sizeof(host), "%s", at ? at + 3 : url);
    char *slash = strchr(host, '/');
    if (slash)
        *slash = 0;
    char *colon = strrchr(host, ':');
    snprintf(port, sizeof(port), "%u", default_port);
    if (colon) {
        snprintf(port, sizeof(port), "%s", colon + 1);
        *colon = 0;
    }
    return connect_tcp(host, port);
}

bool stream_open(struct stream *s, const char *url, uint16_t default_port, bool small, char *why)
{
    *s = (struct stream){ .fd = connect_url(url, default_port) };
    if (s->fd < 0) {
        snprintf(why, 256, "cannot connect to %.150s: %s", url, strerror(errno));
        return false;
    }
    fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
    s->out_size = small ? STREAM_IDLE_BYTES : STREAM_OUT_BYTES;
    s->in_size = small ? STREAM_IDLE_BYTES : STREAM_IN_BYTES;
    s->out = malloc(s->out_size);
    s->in = malloc(s->in_size);
    if (!s->out || !s->in) {
        stream_close(s);
        snprintf(why, 256, "no memory for a connection's buffers");
        return false;
    }
    return true;
}

void stream_close(struct stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->out);
    free(s->in);
    *s = (struct stream){ .fd = -1 };
}

bool stream_flush(struct stream *s)
{
    while (s->out_at < s->out_end) {
        ssize_t n = send(s->fd, s->out + s->out_at, s->out_end - s->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0)
            break;
        s->out_at += (size_t)n;
    }
    if (s->out_at == s->out_end) {
        s->out_at = s->out_end = 0;
    } else if (s->out_at > s->out_size / 2) {
        memmove(s->out, s->out + s->out_at, s->out_end - s->out_at);
        s->out_end -= s->out_at;
        s->out_at = 0;
    }
    return true;
}

ssize_t stream_recv(struct stream *s)
{
    if (s->in_at == s->in_end)
        s->in_at = s->in_end = 0;
    if (s->in_at && s->in_size - s->in_end < STREAM_RECV_BYTES) {
        memmove(s->in, s->in + s->in_at, s->in_end - s->in_at);
        s->in_end -= s->in_at;
        s->in_at = 0;
    }
    size_t room = s->in_size - s->in_end;
    if (!room) {
        errno = EMSGSIZE;
        return -1;
    }
    ssize_t n = recv(s->fd, s->in + s->in_end, room < STREAM_RECV_BYTES ? room : STREAM_RECV_BYTES, 0);
    if (n > 0) {
        s->in_end += (size_t)n;
        s->now_ns = clock_now_ns();
        return n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n == 0)
        errno = 0;
    return -1;
}

bool stream_wait(struct stream *s, int timeout_ms)
{
    uint64_t end = clock_now_ns() + (uint64_t)timeout_ms * 1000000;
    for (;;) {
        if (!stream_flush(s))
            return false;
        ssize_t n = stream_recv(s);
        if (n)
            return n > 0;
        uint64_t now = clock_now_ns();
        if (now >= end) {
            errno = ETIMEDOUT;
            return false;
        }
        struct pollfd p = { s->fd, (short)(POLLIN | (stream_pending(s) ? POLLOUT : 0)), 0 };
        poll(&p, 1, (int)((end - now) / 1000000) + 1);
    }
}
