/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/input.h: lines of a file or pipe, read in large pieces, without stdio.
 */
#ifndef RUNNEL_CLI_INPUT_H
#define RUNNEL_CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    INPUT_BUFFER_BYTES = 1 << 20,
    INPUT_LINE_MAX = 16 << 20, /* twice the largest event that a broker can be told to take */
};

struct input {
    int fd;
    bool end;      /* nothing more will come */
    bool skipping; /* inside of a line that is too long */
    char *buffer;
    size_t size, begin, scanned, filled; /* begin <= scanned <= filled <= size */
};

enum input_line { INPUT_LINE, INPUT_TOO_LONG, INPUT_MORE, INPUT_END };

void input_init(struct input *in, int fd);
/* The next line without its line break, lent until input_read(); the last one needs no line break.
 * INPUT_TOO_LONG is told once per such line, when it becomes known. Stays where it is until input_taken().
 * INPUT_MORE: call input_read(). */
enum input_line input_line(struct input *in, const char **at, size_t *len);
void input_taken(struct input *in, size_t len);
/* Reads once. False: error (errno). */
bool input_read(struct input *in);

#endif
