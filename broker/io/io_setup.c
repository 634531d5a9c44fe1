/* SPDX-License-Identifier: Apache-2.0
 *
 * io/io_setup.c: makes the ring and, where this system will not have it, says in one sentence what to change.
 *
 * The flags need Linux 6.1, which also brings multishot receive (6.0), provided-buffer rings and multishot
 * accept (5.19). So a refused flag means an old kernel; a refused call means a setting, a sandbox or a limit.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/io_ring.h"

static const struct {
    int code;
    const char *name;
} io_opcodes[] = {
    { IORING_OP_ACCEPT, "accept" },       { IORING_OP_RECV, "recv" },   { IORING_OP_SENDMSG, "sendmsg" },
    { IORING_OP_POLL_ADD, "poll" },       { IORING_OP_CLOSE, "close" }, { IORING_OP_SHUTDOWN, "shutdown" },
    { IORING_OP_READ, "read" },           { IORING_OP_WRITE, "write" }, { IORING_OP_FSYNC, "fsync" },
    { IORING_OP_ASYNC_CANCEL, "cancel" },
};

/* The value of kernel.io_uring_disabled; -1 where there is no such setting. */
static int io_sysctl_disabled(void)
{
    char c = 0;
    const int fd = file_open("/proc/sys/kernel/io_uring_disabled", FILE_READ, NULL);
    if (fd < 0)
        return -1;
    const int64_t n = file_read(fd, &c, 1, 0);
    file_close(fd);
    return n == 1 && c >= '0' && c <= '9' ? c - '0' : -1;
}

static uint64_t io_limit(int resource)
{
    struct rlimit limit;
    return getrlimit(resource, &limit) == 0 ? (uint64_t)limit.rlim_cur : 0;
}

/* Why io_uring_setup or the buffer ring was refused. */
static void io_explain(int error, const char *what, char *why, uint32_t why_bytes)
{
    struct utsname kernel;
    if (uname(&kernel) != 0)
        kernel.release[0] = '\0';
    switch (-error) {
    case ENOSYS:
        snprintf(why, why_bytes,
                 "%s: this system has no io_uring (kernel %s): Linux 6.1 or later is needed, built with "
                 "CONFIG_IO_URING; in a container, a sandbox that hides it must allow it "
                 "(configs/seccomp.json)",
                 what, kernel.release);
        break;
    case EPERM:
    case EACCES:
        if (io_sysctl_disabled() > 0)
            snprintf(why, why_bytes,
                     "%s: io_uring is switched off for this process: set sysctl kernel.io_uring_disabled=0 "
                     "(now %d), or with 1 add the user to the group kernel.io_uring_group",
                     what, io_sysctl_disabled());
        else
            snprintf(why, why_bytes,
                     "%s: a seccomp profile or security module forbids io_uring: run the container with "
                     "--security-opt seccomp=configs/seccomp.json",
                     what);
        break;
    case ENOMEM:
        snprintf(why, why_bytes,
                 "%s: not enough lockable memory: raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=; now %llu "
                 "bytes) or the memory limit of the container",
                 what, (unsigned long long)io_limit(RLIMIT_MEMLOCK));
        break;
    case EMFILE:
        snprintf(why, why_bytes,
                 "%s: no file descriptor left: raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=; now %llu)", what,
                 (unsigned long long)io_limit(RLIMIT_NOFILE));
        break;
    case ENFILE:
        snprintf(why, why_bytes, "%s: the system's file table is full: raise sysctl fs.file-max", what);
        break;
    case EINVAL:
        snprintf(why, why_bytes, "%s: kernel %s is too old: Linux 6.1 or later is needed", what,
                 kernel.release);
        break;
    default:
        snprintf(why, why_bytes, "%s: %s (kernel %s)", what, strerror(-error), kernel.release);
    }
}

static int io_setup_ring(struct io *io, uint32_t entries, char *why, uint32_t why_bytes)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = entries * 4, /* a multishot op has many events; beyond this the kernel keeps a list */
    };
    const int error = io_uring_queue_init_params(entries, &io->ring, &params);
    if (error < 0) {
        io->ring.ring_fd = -1;
        io_explain(error, "io_uring_setup", why, why_bytes);
        return error;
    }
    const uint32_t needed = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE;
    if ((params.features & needed) != needed) {
        io_explain(-EINVAL, "io_uring_setup", why, why_bytes);
        return -EINVAL;
    }
    return 0;
}

static int io_probe(struct io *io, char *why, uint32_t why_bytes)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&io->ring);
    if (probe == NULL) {
        io_explain(-EPERM, "io_uring_register (probe)", why, why_bytes);
        return -EPERM;
    }
    for (unsigned i = 0; i < ARRAY_LEN(io_opcodes); i++) {
        if (io_uring_opcode_supported(probe, io_opcodes[i].code))
            continue;
        snprintf(why, why_bytes, "io_uring lacks the operation '%s': Linux 6.1 or later is needed",
                 io_opcodes[i].name);
        io_uring_free_probe(probe);
        return -ENOSYS;
    }
    io_uring_free_probe(probe);
    return 0;
}

static int io_setup_buffers(struct io *io, char *why, uint32_t why_bytes)
{
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    io->buf_ring_bytes = io->recv_buffers * sizeof(struct io_uring_buf);
    io->buf_ring_bytes = (io->buf_ring_bytes + page_bytes - 1) / page_bytes * page_bytes;
    io->buf_ring = mem_alloc_aligned(MEM_IO, io->buf_ring_bytes, page_bytes);
    memset(io->buf_ring, 0, io->buf_ring_bytes);
    io->buffers = mem_alloc_aligned(MEM_IO, (size_t)io->recv_buffers * io->recv_buffer_bytes, page_bytes);
    io->lent = mem_zalloc(MEM_IO, io->recv_buffers * sizeof(bool));
    io_uring_buf_ring_init(io->buf_ring);
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)io->buf_ring,
        .ring_entries = io->recv_buffers,
        .bgid = IO_RECV_GROUP,
    };
    const int error = io_uring_register_buf_ring(&io->ring, &reg, 0);
    if (error < 0) {
        io_explain(error, "io_uring_register (receive buffers)", why, why_bytes);
        return error;
    }
    const int mask = io_uring_buf_ring_mask(io->recv_buffers);
    for (uint32_t i = 0; i < io->recv_buffers; i++)
        io_uring_buf_ring_add(io->buf_ring, io->buffers + (size_t)i * io->recv_buffer_bytes,
                              io->recv_buffer_bytes, (uint16_t)i, mask, (int)i);
    io_uring_buf_ring_advance(io->buf_ring, (int)io->recv_buffers);
    return 0;
}

static int io_setup_wake(struct io *io, char *why, uint32_t why_bytes)
{
    io->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (io->wake_fd < 0) {
        const int error = -errno;
        io_explain(error, "eventfd", why, why_bytes);
        return error;
    }
    io_wake_arm(io);
    return 0;
}

/* Frees everything; every part may be missing. */
static void io_release(struct io *io)
{
    if (io->ring.ring_fd >= 0)
        io_uring_queue_exit(&io->ring); /* also ends the registration of the buffers */
    if (io->wake_fd >= 0)
        close(io->wake_fd);
    mem_free(MEM_IO, io->buf_ring, io->buf_ring_bytes);
    mem_free(MEM_IO, io->buffers, (size_t)io->recv_buffers * io->recv_buffer_bytes);
    mem_free(MEM_IO, io->lent, io->recv_buffers * sizeof(bool));
    mem_free(MEM_IO, io, sizeof(*io));
}

static bool io_power_of_two(uint32_t n)
{
    return n && (n & (n - 1)) == 0;
}

int io_create(struct io **out, const struct io_options *options, char *why, uint32_t why_bytes)
{
    const uint32_t entries = options->entries ? options->entries : IO_ENTRIES_DEFAULT;
    const uint32_t buffers = options->recv_buffers ? options->recv_buffers : IO_RECV_BUFFERS_DEFAULT;
    const uint32_t buffer_bytes =
        options->recv_buffer_bytes ? options->recv_buffer_bytes : IO_RECV_BUFFER_BYTES_DEFAULT;
    if (entries > IO_ENTRIES_MAX || buffers > IO_RECV_BUFFERS_MAX || !io_power_of_two(buffers)) {
        snprintf(
            why, why_bytes,
            "ring of %u entries with %u receive buffers: at most %d entries, and buffers a power of two up "
            "to %d",
            entries, buffers, IO_ENTRIES_MAX, IO_RECV_BUFFERS_MAX);
        return -EINVAL;
    }
    struct io *io = mem_zalloc(MEM_IO, sizeof(*io));
    io->ring.ring_fd = -1;
    io->wake_fd = -1;
    io->offered = -1;
    io->recv_buffers = buffers;
    io->recv_buffer_bytes = buffer_bytes;
    io->clock = options->clock;
    io_set_spin(io, options->spin_us, options->spin_always);
    int error = io_setup_ring(io, entries, why, why_bytes);
    if (error == 0)
        error = io_probe(io, why, why_bytes);
    if (error == 0)
        error = io_setup_buffers(io, why, why_bytes);
    if (error == 0)
        error = io_setup_wake(io, why, why_bytes);
    if (error < 0) {
        io_release(io);
        return error;
    }
    io_uring_register_ring_fd(&io->ring); /* saves a look-up per call; does not matter where it is refused */
    *out = io;
    return 0;
}

static void io_destroy_cancelled(struct io_op *op, int32_t res, uint32_t flags)
{
    (void)op;
    (void)res;
    (void)flags;
}

void io_destroy(struct io *io)
{
    CHECK(io->stats.inflight == 0);
    /* The kernel tears a ring down after close() has returned; until the read of wake_value has ended, that
     * memory is lent. */
    struct io_op cancel = { 0 };
    io_cancel(io, &cancel, &io->wake_op, io_destroy_cancelled);
    while (io_busy(&cancel) || io_busy(&io->wake_op))
        io_turn(io, UINT64_MAX, true);
    io_release(io);
}
