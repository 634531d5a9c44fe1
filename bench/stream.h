/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/stream.h: one non-blocking socket with its two buffers, shared by every driver that speaks its
 * protocol itself.
 *
 * Both buffers are plain memory with a start and an end; what is left over is moved to the front when room
 * is needed, so that a frame is always contiguous.
 */
#ifndef RUNNEL_BENCH_STREAM_H
#define RUNNEL_BENCH_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    STREAM_OUT_BYTES = 1 << 20, /* unsent requests of one connection */
    STREAM_IN_BYTES = 9 << 20,  /* holds the largest frame that any broker sends, and a piece of the next */
    STREAM_RECV_BYTES = 256 << 10, /* one recv(): stays in the second-level cache until it is parsed */
    STREAM_IDLE_BYTES = 64 << 10,  /* buffers of a connection that is only there to be idle */
};

struct stream {
    int fd;
    uint8_t *out, *in;
    size_t out_size, out_at, out_end;
    size_t in_size, in_at, in_end;
    uint64_t now_ns; /* when the last bytes arrived */
};

/* Connects to "tcp://HOST:PORT", "HOST:PORT", "SCHEME://HOST:PORT" or "unix:PATH", within 5 s. `small`: a
 * connection that will carry little. False: `why` (256 bytes) says why. */
bool stream_open(struct stream *s, const char *url, uint16_t default_port, bool small, char *why);
void stream_close(struct stream *s);

/* Where the next `n` bytes to send go, contiguous; NULL when the buffer is too full. */
static inline uint8_t *stream_space(struct stream *s, size_t n)
{
    return s->out_size - s->out_end >= n ? s->out + s->out_end : NULL;
}
static inline void stream_commit(struct stream *s, size_t n)
{
    s->out_end += n;
}
/* Sends as much as the socket takes. False: the connection is gone (errno). */
bool stream_flush(struct stream *s);
/* Bytes wait to be sent. */
static inline bool stream_pending(const struct stream *s)
{
    return s->out_end > s->out_at;
}
/* One recv() behind what is there already: its size, 0 when nothing is there, -1 when the connection is gone
 * (errno 0: closed by the other side). */
ssize_t stream_recv(struct stream *s);
/* Waits up to `timeout_ms` for bytes to arrive or, when some are pending, to be sent, and moves them. False:
 * nothing arrived (errno ETIMEDOUT) or the connection is gone. */
bool stream_wait(struct stream *s, int timeout_ms);

#endif
