/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

enum { INPUT_READ_MIN = 256 << 10 /* room for a read of this size is made before each */ };

void input_init(struct input *in, int fd)
{
    *in = (struct input){ .fd = fd, .buffer = cli_alloc(INPUT_BUFFER_BYTES), .size = INPUT_BUFFER_BYTES };
    (void)fcntl(fd, F_SETPIPE_SZ, INPUT_BUFFER_BYTES); /* no pipe, or not allowed: fine */
}

/* Drops a too long line as far as it is there; true when its end was seen. */
static bool input_skip(struct input *in)
{
    const char *line_break = memchr(in->buffer + in->begin, '\n', in->filled - in->begin);

    in->begin = line_break ? (size_t)(line_break + 1 - in->buffer) : in->filled;
    in->scanned = in->begin;
    in->skipping = !line_break;
    return line_break;
}

enum input_line input_line(struct input *in, const char **at, size_t *len)
{
    const char *line_break;

    if (in->skipping && !input_skip(in))
        return in->end ? INPUT_END : INPUT_MORE;
    line_break = memchr(in->buffer + in->scanned, '\n', in->filled - in->scanned);
    *at = in->buffer + in->begin;
    if (line_break) {
        in->scanned = (size_t)(line_break - in->buffer);
        *len = (size_t)(line_break - *at);
        return INPUT_LINE;
    }
    in->scanned = in->filled;
    *len = in->filled - in->begin;
    if (in->end)
        return *len ? INPUT_LINE : INPUT_END;
    if (*len >= INPUT_LINE_MAX) {
        in->skipping = true;
        return INPUT_TOO_LONG;
    }
    return INPUT_MORE;
}

void input_taken(struct input *in, size_t len)
{
    in->begin += len;
    if (in->begin < in->filled)
        in->begin++; /* the line break */
    in->scanned = in->begin;
}

bool input_read(struct input *in)
{
    ssize_t n;

    if (in->size - in->filled < INPUT_READ_MIN && in->begin) {
        memmove(in->buffer, in->buffer + in->begin, in->filled - in->begin);
        in->filled -= in->begin;
        in->scanned -= in->begin;
        in->begin = 0;
    }
    if (in->size - in->filled < INPUT_READ_MIN) {
        in->size *= 2;
        in->buffer = cli_realloc(in->buffer, in->size);
    }
    n = read(in->fd, in->buffer + in->filled, in->size - in->filled);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    in->end = n == 0;
    in->filled += (size_t)n;
    return true;
}

/* ---- all at once ---- */

/* Everything that comes, up to what no broker would take; *len is then more than INPUT_LINE_MAX. */
static char *read_fd(int fd, size_t *len)
{
    size_t size = 1 << 16;
    char *buffer = cli_alloc(size);
    ssize_t n = 1;

    for (*len = 0; n != 0 && *len <= INPUT_LINE_MAX; *len += n > 0 ? (size_t)n : 0) {
        if (*len == size)
            buffer = cli_realloc(buffer, size *= 2);
        n = read(fd, buffer + *len, size - *len);
        if (n < 0 && errno != EINTR) {
            free(buffer);
            return NULL;
        }
    }
    return buffer;
}

int cli_read_all(const char *path, char **out, size_t *len)
{
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    const char *name = path ? path : "standard input";
    const int open_error = errno;

    *out = fd < 0 ? NULL : read_fd(fd, len);
    if (!*out)
        return cli_fail(fd < 0 && open_error == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, name,
                        "check the file's name and rights", "cannot read it: %s", strerror(errno));
    if (path)
        close(fd);
    if (*len > INPUT_LINE_MAX)
        return cli_fail(EXIT_REFUSED, name, "split it up", "more than 16 MiB");
    return EXIT_DONE;
}
