/* SPDX-License-Identifier: Apache-2.0
 *
 * io/io_uring.c: the operations of io.h on one io_uring; the only file that sees an SQE or a CQE.
 *
 * Invariants:
 * - Starting an operation only fills an entry. Handlers run from io_dispatch() alone, out of a copy of the
 *   completions (one multishot operation can have several events in one reap).
 * - An op is busy from its start until just before its last event's handler.
 * - The ring is used by the thread that made it (SINGLE_ISSUER); only io_wake() may be called from others.
 * - With DEFER_TASKRUN the kernel does our completions' work when we enter it to get events, and at no other
 *   time; IORING_SQ_TASKRUN in shared memory says that there is some, so a spin costs no system call.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/diag.h"
#include "io/io_ring.h"

enum {
    IO_SPIN_ONE = 1024,
    IO_SPIN_WORTH = IO_SPIN_ONE / 4, /* spin while at least every fourth wait is that short */
    IO_SPIN_DECAY = 8,               /* an event weighs 1/8: the last dozen or so waits decide */
    /* A sleep that a spin would have replaced lasts longer by the time it takes to wake a core. */
    IO_WAKE_COST_NS = 30 * 1000,
    IO_SUBMIT_TRIES_MAX = 1000, /* the kernel refuses entries only when it is out of memory */
};

/* ---- entries ---- */

/* What the kernel may answer to an enter in normal life; the rest means that our use of the ring is wrong. */
static void io_check_entered(int ret)
{
    if (ret >= 0 || ret == -EINTR || ret == -ETIME || ret == -EAGAIN || ret == -EBUSY)
        return;
    diag(DIAG_ERROR, "io", "the kernel refused io_uring_enter", DIAG_KS("error", strerror(-ret)));
    UNREACHABLE();
}

static struct io_uring_sqe *io_entry(struct io *io)
{
    struct io_uring_sqe *sqe;
    for (unsigned tries = 0; !(sqe = io_uring_get_sqe(&io->ring)); tries++) {
        CHECK(tries < IO_SUBMIT_TRIES_MAX);
        io_check_entered(io_uring_submit(&io->ring)); /* runs no handler */
    }
    return sqe;
}

static bool io_kind_is_file(enum io_kind kind)
{
    return kind == IO_KIND_READ || kind == IO_KIND_WRITE || kind == IO_KIND_SYNC;
}

static struct io_uring_sqe *io_start(struct io *io, struct io_op *op, enum io_kind kind, const char *name,
                                     io_done done)
{
    CHECK(!op->busy);
    struct io_uring_sqe *sqe = io_entry(io);
    op->done = done;
    op->kind = (uint8_t)kind;
    op->busy = true;
    if (op->name == NULL)
        op->name = name;
    io->stats.submits++;
    if (kind != IO_KIND_WAKE)
        io->stats.inflight++;
    io->files_inflight += io_kind_is_file(kind);
    return sqe;
}

/* ---- sockets ---- */

void io_accept(struct io *io, struct io_op *op, int listen_fd, io_done done)
{
    struct io_uring_sqe *sqe = io_start(io, op, IO_KIND_ONCE, "accept", done);
    io_uring_prep_multishot_accept(sqe, listen_fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, op);
}

void io_recv(struct io *io, struct io_op *op, int fd, io_done done)
{
    struct io_uring_sqe *sqe = io_start(io, op, IO_KIND_RECV, "recv", done);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = IO_RECV_GROUP;
    io_uring_sqe_set_data(sqe, op);
}

uint8_t *io_recv_take(struct io *io, struct io_op *op, uint32_t flags, uint16_t *buffer)
{
    CHECK(io->dispatching && (flags & IO_DATA) && io->offered == op->buffer);
    io->offered = -1;
    *buffer = op->buffer;
    return io->buffers + (size_t)op->buffer * io->recv_buffer_bytes;
}

void io_recv_return(struct io *io, uint16_t buffer)
{
    CHECK(buffer < io->recv_buffers && io->lent[buffer]);
    io->lent[buffer] = false;
    io_uring_buf_ring_add(io->buf_ring, io->buffers + (size_t)buffer * io->recv_buffer_bytes,
                          io->recv_buffer_bytes, buffer, io_uring_buf_ring_mask(io->recv_buffers), 0);
    io_uring_buf_ring_advance(io->buf_ring, 1);
}

void io_sendmsg(struct io *io, struct io_op *op, int fd, const struct msghdr *msg, io_done done)
{
    struct io_uring_sqe *sqe = io_start(io, op, IO_KIND_ONCE, "sendmsg", done);
    io_uring_prep_sendmsg(sqe, fd, msg, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data(sqe, op);
}

void io_poll(struct io *io, struct io_op *op, int fd, uint32_t events, io_done done)
{
    struct io_uring_sqe *sqe = io_start(io, op, IO_KIND_ONCE, "poll", done);
    io_uring_prep_poll_add(sqe, fd, events);
    io_uring_sqe_set_data(sqe, op);
}

void io_shutdown(struct io *io, struct io_op *op, int fd, io_done done)
{
    struct io_uring_sqe *sqe = io_start(io, op, IO_KIND_ONCE, "shutdown", done);
    io_uring_prep_shutdown(sqe, fd, SHUT_RDWR);
    io_uring_sqe_set_data(sqe, op);
}

void io_close(struct io *io, struct io_op *op, int fd, io_done done)
{
    struct io_uring_sqe *sqe = io_start(io, op, IO_KIND_ONCE, "close", done);
    io_uring_prep_close(sqe, fd);
    io_uring_sqe_set_data(sqe, op);
}

/* ---- files ---- */

/* Fills an entry with what is left of the op's transfer. */
static void io_prepare_file(struct io_uring_sqe *sqe, struct io_op *op)
{
    uint8_t *data = op->data + op->bytes_done;
    const uint32_t left = op->bytes - op->bytes_done;
    const uint64_t position = op->position + op->bytes_done;
    if (op->kind == IO_KIND_READ)
        io_uring_prep_read(sqe, op->fd, data, left, position);
    else if (op->kind == IO_KIND_WRITE)
        io_uring_prep_write(sqe, op->fd, data, left, position);
    else
        io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(sqe, op);
}

static void io_start_file(struct io *io, struct io_op *op, enum io_kind kind, const char *name, io_done done)
{
    io_prepare_file(io_start(io, op, kind, name, done), op);
}

void io_read(struct io *io, struct io_op *op, int fd, void *buf, uint32_t bytes, uint64_t position,
             io_done done)
{
    CHECK(!op->busy && bytes <= INT32_MAX);
    op->fd = fd;
    op->data = buf;
    op->bytes = bytes;
    op->bytes_done = 0;
    op->position = position;
    io_start_file(io, op, IO_KIND_READ, "read", done);
}

void io_write(struct io *io, struct io_op *op, int fd, const void *buf, uint32_t bytes, uint64_t position,
              io_done done)
{
    CHECK(!op->busy && bytes <= INT32_MAX);
    op->fd = fd;
    op->data = (uint8_t *)(uintptr_t)buf; /* read only: the kind says so */
    op->bytes = bytes;
    op->bytes_done = 0;
    op->position = position;
    io_start_file(io, op, IO_KIND_WRITE, "write", done);
}

void io_sync(struct io *io, struct io_op *op, int fd, io_done done)
{
    CHECK(!op->busy);
    op->fd = fd;
    op->bytes = op->bytes_done = 0;
    op->position = 0;
    io_start_file(io, op, IO_KIND_SYNC, "sync", done);
}

/* Takes one result of a file op. True when the transfer is over, with its outcome in `*res`; false when the
 * rest must be started again. */
static bool io_file_result(struct io_op *op, int32_t *res)
{
    if (*res == -EINTR || *res == -EAGAIN)
        return false;
    if (op->kind == IO_KIND_SYNC)
        return true;
    if (*res < 0) {
        /* A direct read that ended at the file's end, in the middle of a block, cannot be continued there:
         * the kernel refuses the position. There is nothing more to read. */
        if (op->kind == IO_KIND_READ && *res == -EINVAL && op->bytes_done % 512 != 0)
            *res = (int32_t)op->bytes_done;
        return true;
    }
    op->bytes_done += (uint32_t)*res;
    CHECK(op->bytes_done <= op->bytes);
    if (*res > 0 && op->bytes_done < op->bytes)
        return false;
    if (*res == 0 && op->kind == IO_KIND_WRITE && op->bytes_done < op->bytes)
        *res = -EIO; /* a write that makes no progress would go on for ever */
    else
        *res = (int32_t)op->bytes_done;
    return true;
}

/* ---- cancel and wake ---- */

void io_cancel(struct io *io, struct io_op *op, struct io_op *victim, io_done done)
{
    CHECK(op != victim);
    struct io_uring_sqe *sqe = io_start(io, op, IO_KIND_ONCE, "cancel", done);
    io_uring_prep_cancel(sqe, victim, 0);
    io_uring_sqe_set_data(sqe, op);
}

static void io_wake_done(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)res;
    (void)flags;
    struct io *io = CONTAINER_OF(op, struct io, wake_op);
    if (res != -ECANCELED)
        io_wake_arm(io);
}

void io_wake_arm(struct io *io)
{
    struct io_uring_sqe *sqe = io_start(io, &io->wake_op, IO_KIND_WAKE, "wake", io_wake_done);
    io_uring_prep_read(sqe, io->wake_fd, &io->wake_value, sizeof(io->wake_value), 0);
    io_uring_sqe_set_data(sqe, &io->wake_op);
}

/* Two flags, each side storing its own before it looks at the other's (both sequentially consistent): either
 * the loop sees `wake_asked` and does not sleep, or we see `asleep` and write. While the loop is awake, a
 * wake-up costs no system call. Of several wakers one writes. */
void io_wake(struct io *io)
{
    atomic_store(&io->wake_asked, true);
    if (!atomic_exchange(&io->asleep, false))
        return;
    const uint64_t one = 1;
    while (write(io->wake_fd, &one, sizeof(one)) < 0)
        CHECK(errno == EINTR);
}

/* ---- one turn ---- */

static uint64_t io_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Events wait in shared memory. */
static bool io_ready(const struct io *io)
{
    return io_uring_cq_ready(&io->ring) != 0;
}

/* The kernel has work for us that only entering it does. */
static bool io_flagged(const struct io *io)
{
    return (IO_URING_READ_ONCE(*io->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/* Submits what was started and lets the kernel finish what it can, without waiting. */
static void io_enter(struct io *io)
{
    if (io_uring_sq_ready(&io->ring) || io_flagged(io))
        io_check_entered(io_uring_submit_and_get_events(&io->ring));
}

static void io_sleep(struct io *io, uint64_t wait_ns)
{
    atomic_store(&io->asleep, true);
    if (atomic_load(&io->wake_asked)) {
        atomic_store(&io->asleep, false);
        io_enter(io);
        return;
    }
    int ret;
    if (wait_ns == UINT64_MAX) {
        ret = io_uring_submit_and_wait(&io->ring, 1);
    } else {
        struct io_uring_cqe *cqe;
        struct __kernel_timespec ts = { .tv_sec = (int64_t)(wait_ns / 1000000000u),
                                        .tv_nsec = (int64_t)(wait_ns % 1000000000u) };
        ret = io_uring_submit_and_wait_timeout(&io->ring, &cqe, 1, &ts, NULL);
    }
    io_check_entered(ret);
    atomic_store(&io->asleep, false);
    io->stats.sleeps++;
}

static void io_spin_learn(uint32_t *score, bool hit)
{
    *score -= *score / IO_SPIN_DECAY;
    if (hit)
        *score += IO_SPIN_ONE / IO_SPIN_DECAY;
}

/* Looks at shared memory until something is there or `until_ns` passed. Between two looks it offers the core
 * to whoever is waiting for it: where the disk's interrupts arrive, the kernel thread that ends our own write
 * needs this very core, and a spin that keeps it makes the write three times as slow as sleeping would. */
static bool io_spin(struct io *io, uint64_t until_ns)
{
    do {
        if (io_ready(io) || atomic_load_explicit(&io->wake_asked, memory_order_relaxed))
            return true;
        if (io_flagged(io)) {
            io_check_entered(io_uring_get_events(&io->ring));
            if (io_ready(io))
                return true;
        }
        sched_yield();
    } while (io_now() < until_ns);
    return false;
}

/* Waits for an event: spins first where that pays, then sleeps. Whether it pays is learnt from every wait,
 * slept ones too: one that ended within the spin's length (and the cost of waking) is a hit. An idle process
 * therefore never spins, and a busy one is found out within a few waits. */
static void io_wait(struct io *io, uint64_t wait_ns, bool idle_hint)
{
    if (io->spin_ns == 0 || idle_hint) {
        io_sleep(io, wait_ns);
        return;
    }
    /* What completes while it is being submitted (most sends) says nothing about how long waits are. */
    io_enter(io);
    if (io_ready(io))
        return;
    uint32_t *score = &io->spin_score[io->files_inflight > 0];
    const bool spin = io->spin_always || *score >= IO_SPIN_WORTH;
    const uint64_t start = io_now();
    if (spin) {
        const uint64_t spin_ns = wait_ns < io->spin_ns ? wait_ns : io->spin_ns;
        const bool hit = io_spin(io, start + spin_ns);
        io_spin_learn(score, hit);
        io->stats.spins += hit;
        if (hit || wait_ns == spin_ns)
            return;
        io_sleep(io, wait_ns == UINT64_MAX ? wait_ns : wait_ns - spin_ns);
        return;
    }
    io_sleep(io, wait_ns);
    io_spin_learn(score, io_ready(io) && io_now() - start <= io->spin_ns + IO_WAKE_COST_NS);
}

static uint32_t io_reap(struct io *io)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    uint32_t n = 0;
    io_uring_for_each_cqe(&io->ring, head, cqe)
    {
        if (n == IO_BATCH_MAX)
            break;
        io->batch[n++] = (struct io_event){ io_uring_cqe_get_data(cqe), cqe->res, cqe->flags };
    }
    io_uring_cq_advance(&io->ring, n);
    return n;
}

/* Makes the kernel's account of a receive ours: the buffer lent, or starved. */
static uint32_t io_recv_event(struct io *io, const struct io_event *ev)
{
    if (ev->res == -ENOBUFS)
        io->stats.recv_starved++;
    if (!(ev->flags & IORING_CQE_F_BUFFER))
        return 0;
    const uint16_t buffer = (uint16_t)(ev->flags >> IORING_CQE_BUFFER_SHIFT);
    CHECK(buffer < io->recv_buffers && !io->lent[buffer]);
    io->lent[buffer] = true;
    if (ev->res <= 0) { /* nothing in it */
        io_recv_return(io, buffer);
        return 0;
    }
    ev->op->buffer = buffer;
    io->offered = buffer;
    return IO_DATA;
}

static uint32_t io_dispatch_one(struct io *io, const struct io_event *ev)
{
    struct io_op *op = ev->op;
    int32_t res = ev->res;
    uint32_t flags = ev->flags & IORING_CQE_F_MORE ? IO_MORE : 0;
    CHECK(op->busy);
    const enum io_kind kind = (enum io_kind)op->kind;
    if (io_kind_is_file(kind) && !io_file_result(op, &res)) {
        io_prepare_file(io_entry(io), op);
        return 0;
    }
    if (kind == IO_KIND_RECV)
        flags |= io_recv_event(io, ev);
    if (!(flags & IO_MORE)) {
        op->busy = false; /* before the handler: it may start the op again */
        if (kind != IO_KIND_WAKE)
            io->stats.inflight--;
        io->files_inflight -= io_kind_is_file(kind);
    }
    op->done(op, res, flags);
    if (io->offered >= 0) { /* the handler had no use for the bytes */
        io_recv_return(io, (uint16_t)io->offered);
        io->offered = -1;
    }
    return kind != IO_KIND_WAKE;
}

static uint32_t io_dispatch(struct io *io, uint32_t n)
{
    uint32_t handled = 0;
    io->dispatching = true;
    for (uint32_t i = 0; i < n; i++)
        handled += io_dispatch_one(io, &io->batch[i]);
    io->dispatching = false;
    io->stats.events += handled;
    return handled;
}

uint32_t io_turn(struct io *io, uint64_t wait_ns, bool idle_hint)
{
    CHECK(!io->dispatching);
    io->stats.turns++;
    if (wait_ns == 0 || io_ready(io) || atomic_load_explicit(&io->wake_asked, memory_order_relaxed))
        io_enter(io);
    else
        io_wait(io, wait_ns, idle_hint);
    /* After the wait and before the owner looks at what the wakers left: a waker that comes later asks
     * again, and the next turn does not sleep. */
    atomic_exchange(&io->wake_asked, false);
    if (io->clock)
        clock_update(io->clock); /* the wait may have been long: handlers stamp events with this time */
    return io_dispatch(io, io_reap(io));
}

const struct io_stats *io_stats(const struct io *io)
{
    return &io->stats;
}

void io_set_spin(struct io *io, uint32_t spin_us, bool always)
{
    io->spin_ns = (uint64_t)spin_us * 1000;
    io->spin_always = always;
    io->spin_score[0] = io->spin_score[1] = 0;
}
