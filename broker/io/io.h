/* SPDX-License-Identifier: Apache-2.0
 *
 * io/io.h: the one seam between the broker and the kernel: asynchronous operations on sockets and files.
 *
 * Two implementations: io_uring.c (production) and tests/support/io_sim.c (seeded, fault-injecting, in
 * memory). Nothing above may know which one it runs on.
 *
 * An operation is a `struct io_op` embedded in the object that it belongs to. Starting one marks it busy; its
 * handler is called from io_turn() and from nowhere else, never from inside the call that started it. When
 * the handler runs with IO_MORE unset that was the operation's last event: the op is idle again and may be
 * started anew, also from within the handler. The owner keeps op and buffers alive until then: closing a
 * descriptor does not end an operation, io_cancel() does.
 *
 * Results are as the kernel's: >= 0, or a negative errno.
 *
 * Limits: IO_OPS_MAX bounds nothing but the ring's size; more operations than entries are submitted in
 * several calls.
 */
#ifndef RUNNEL_IO_IO_H
#define RUNNEL_IO_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/stats.h"

struct clock;
struct io;
struct io_op;

/* Flags to a handler. */
enum {
    IO_MORE = 1u << 0, /* the operation is still running: further events will come */
    IO_DATA = 1u << 1, /* io_recv only: a buffer was lent, see io_recv_take() */
};

typedef void (*io_done)(struct io_op *op, int32_t res, uint32_t flags);

struct io_op {
    io_done done;
    const char *name; /* for traces and stall reports: "recv" */
    bool busy;        /* set by the call that starts it, cleared before its last event's handler */
    uint16_t buffer;  /* io's own: the lent receive buffer */
    /* io's own: what is left of a file transfer */
    int fd;
    uint8_t kind;
    uint8_t *data;
    uint32_t bytes, bytes_done;
    uint64_t position;
};

struct io_options {
    uint32_t entries;           /* submission entries; 0: 1024 */
    uint32_t recv_buffers;      /* provided receive buffers, a power of two; 0: 64 */
    uint32_t recv_buffer_bytes; /* size of each; 0: 64 KiB */
    uint32_t spin_us;           /* longest spin before sleeping; 0: sleep at once */
    bool spin_always;           /* spin even where it has not paid of late ("latency mode") */
    struct clock *clock;        /* read anew when the wait is over, before the handlers; NULL: none */
};

#define IO_STATS(X)                                                                                          \
    X(turns, STAT_COUNTER, "loop turns")                                                                     \
    X(sleeps, STAT_COUNTER, "turns that slept in the kernel")                                                \
    X(spins, STAT_COUNTER, "turns that spun and found work")                                                 \
    X(events, STAT_COUNTER, "completions handled")                                                           \
    X(submits, STAT_COUNTER, "operations started")                                                           \
    X(recv_starved, STAT_COUNTER, "receives that found no free buffer")                                      \
    X(inflight, STAT_GAUGE, "operations in flight")

struct io_stats {
    IO_STATS(STAT_FIELD)
};

/* Makes the ring and probes what it needs. On failure returns a negative errno and a sentence in `why` (at
 * least 256 bytes) that says what the person should change (kernel version, sysctl, seccomp, limits).
 * Blocking; start-up only. The calling thread is the loop's: all else but io_wake() is for it alone. */
int io_create(struct io **out, const struct io_options *options, char *why, uint32_t why_bytes);
/* Every op must be idle. */
void io_destroy(struct io *io);
const struct io_stats *io_stats(const struct io *io);

/* One turn: submits what was started, waits until an event is there or `wait_ns` passed (0: do not wait;
 * UINT64_MAX: for ever), then runs the handlers of the events reaped. Returns how many events were handled.
 * Spins before sleeping as configured, and never when `idle_hint` (nothing is expected: no spin). */
uint32_t io_turn(struct io *io, uint64_t wait_ns, bool idle_hint);
/* Changes the spin setting at run time. */
void io_set_spin(struct io *io, uint32_t spin_us, bool always);

static inline bool io_busy(const struct io_op *op)
{
    return op->busy;
}

/* ---- sockets ---- */

/* Accepts connections until cancelled: one event each, res = the new descriptor (non-blocking not needed) or
 * an error. */
void io_accept(struct io *io, struct io_op *op, int listen_fd, io_done done);

/* Receives into lent buffers until cancelled, the peer finishes (res 0) or an error. -ENOBUFS ends it when
 * all buffers are lent: start it again once some came back. */
void io_recv(struct io *io, struct io_op *op, int fd, io_done done);
/* Inside a receive handler called with IO_DATA: the lent bytes (res of them). Valid until io_recv_return().
 * What a handler does not take goes back by itself when it returns. */
uint8_t *io_recv_take(struct io *io, struct io_op *op, uint32_t flags, uint16_t *buffer);
/* Gives a lent buffer back. */
void io_recv_return(struct io *io, uint16_t buffer);

/* Sends all of the message: short sends are continued by the kernel (MSG_WAITALL). res = bytes, less than
 * asked only when the connection broke or it was cancelled. `msg`, its iovecs and the bytes stay lent until
 * the event. */
void io_sendmsg(struct io *io, struct io_op *op, int fd, const struct msghdr *msg, io_done done);
/* Becomes ready (res = poll mask) once `events` (poll(2)) hold. One event. */
void io_poll(struct io *io, struct io_op *op, int fd, uint32_t events, io_done done);
/* shutdown(2), both directions. */
void io_shutdown(struct io *io, struct io_op *op, int fd, io_done done);
void io_close(struct io *io, struct io_op *op, int fd, io_done done);

/* ---- files ---- */

/* Transfers all bytes: short counts are continued inside. res = bytes, or the error; a read may end early at
 * the file's end. Buffer, length and position must suit the descriptor (aligned for O_DIRECT). */
void io_read(struct io *io, struct io_op *op, int fd, void *buf, uint32_t bytes, uint64_t position,
             io_done done);
void io_write(struct io *io, struct io_op *op, int fd, const void *buf, uint32_t bytes, uint64_t position,
              io_done done);
/* fdatasync(2). */
void io_sync(struct io *io, struct io_op *op, int fd, io_done done);

/* ---- any ---- */

/* Asks for an end of `victim`; `op`'s own event says -ENOENT or -EALREADY when it was too late, which is
 * normal. The victim's last event still comes, before or after. Cancel a victim once. */
void io_cancel(struct io *io, struct io_op *op, struct io_op *victim, io_done done);

/* Wakes io_turn() from any thread (the worker pool's answers). */
void io_wake(struct io *io);

#endif
