/* SPDX-License-Identifier: Apache-2.0
 *
 * io/io_ring.h: the state of one ring, shared by io_setup.c (makes and ends it) and io_uring.c (runs it) and
 * by nobody else.
 */
#ifndef RUNNEL_IO_IO_RING_H
#define RUNNEL_IO_IO_RING_H

#include <liburing.h>
#include <stdatomic.h>

#include "io/io.h"

enum {
    IO_ENTRIES_DEFAULT = 1024,
    /* The kernel's limit is 32,768; the completion queue is four times this. */
    IO_ENTRIES_MAX = 8192,
    IO_RECV_BUFFERS_DEFAULT = 64,
    IO_RECV_BUFFERS_MAX = 32768, /* the kernel's limit for a buffer ring */
    IO_RECV_BUFFER_BYTES_DEFAULT = 64 * 1024,
    IO_RECV_GROUP = 0, /* our only buffer group */
    /* Events handled in one turn; what is left waits one turn. Few enough that a turn of full receive buffers
     * stays short: the kernel's workers, which finish journal writes, get the processor between turns. */
    IO_BATCH_MAX = 24,
};

/* The kind decides what dispatch does with a result before the handler sees it. */
enum io_kind {
    IO_KIND_ONCE, /* nothing: the result is the handler's */
    IO_KIND_RECV,
    IO_KIND_READ,
    IO_KIND_WRITE,
    IO_KIND_SYNC,
    IO_KIND_WAKE, /* our own */
};

struct io_event {
    struct io_op *op;
    int32_t res;
    uint32_t flags;
};

struct io {
    struct io_uring ring;
    struct io_stats stats;
    bool dispatching;

    /* Provided receive buffers: the ring that the kernel takes them from, the bytes, and who has which. */
    struct io_uring_buf_ring *buf_ring;
    size_t buf_ring_bytes;
    uint8_t *buffers;
    bool *lent;          /* per buffer: with a handler's owner */
    struct clock *clock; /* NULL: none */
    uint32_t recv_buffers, recv_buffer_bytes;
    int32_t offered; /* the buffer of the receive event being handled, not yet taken; -1 none */

    /* Spinning, see io_turn_spin(). */
    uint64_t spin_ns;
    bool spin_always;
    /* 0..IO_SPIN_ONE: how often, of late, an event came within spin_ns; [1] for waits with a file operation
     * in flight, [0] for those without. A disk answers in its own time, clients in theirs: at 1,000 paced
     * requests a second every wait for the journal is worth a spin and no wait for the next request is. */
    uint32_t spin_score[2];
    uint32_t files_inflight;

    /* Wake-up from other threads: see io_wake(). */
    struct io_op wake_op;
    uint64_t wake_value; /* where the kernel puts the eventfd's count */
    int wake_fd;
    atomic_bool wake_asked;
    atomic_bool asleep;

    struct io_event batch[IO_BATCH_MAX];
};

/* Arms the read of the wake-up descriptor. */
void io_wake_arm(struct io *io);

#endif
