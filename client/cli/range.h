/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/range.h: which events of a topic a command is about: --from, --to and -p made into offsets of each
 * partition, and consumers that read just these.
 *
 * Ends are fixed when the range is opened: `read` and `replay` end at what was there then, however fast
 * others publish. An offset in --from or --to means the same offset in each partition; where a partition has
 * only later ones, it is read from its start, where it has only earlier ones, nothing of it is read. For a
 * single partition that is an error.
 */
#ifndef RUNNEL_CLI_RANGE_H
#define RUNNEL_CLI_RANGE_H

#include "client/cli/cli.h"
#include "client/cli/parse.h"

struct range_partition {
    bool chosen;
    bool done;
    int64_t from, to; /* the first offset wanted, and the one behind the last */
};

struct range_consumer {
    runnel_consumer *handle;
    int32_t only; /* the partition that it reads; -1: all with something to read */
    bool over;    /* an error has ended it */
};

struct range {
    struct cli *cli;
    const char *topic;
    int32_t count; /* the topic's partitions */
    struct range_partition *partitions;
    struct position from; /* as given */
    uint64_t events;      /* offsets in the range, in all */
    int32_t left;         /* partitions not read to their end */
    int32_t begun;        /* partitions with something to read at the beginning */
    int32_t failed;       /* of these: ended by an error */
    int error_exit;       /* of the last error; EXIT_DONE: none */
    /* one for all partitions, if the library can say where to start in one word; else one for each */
    struct range_consumer *consumers;
    size_t consumer_count, next;
};

/* Resolves --from (default: `from`), --to (default: the end) and -p of the command line. 0, or an exit code.
 */
int range_open(struct cli *cli, struct range *range, const char *topic, const char *from);
/* Starts reading. 0, or an exit code. */
int range_start(struct range *range);
/* The next event without waiting: 1, or 0 (none now). An error is printed; a damaged partition does not keep
 * the others from being read. */
int range_next(struct range *range, struct runnel_record *out);
/* 0 when all went well; PARTLY when only some partitions could not be read to their end; else the error's. */
int range_result(const struct range *range);
/* Everything was read? Call when range_next() had none: offsets may have gaps. */
bool range_done(struct range *range);
void range_close(struct range *range);

/* A consumer for `topic` from `from` on, of `partitions` ("0,3"; NULL: all). NULL: the error is printed. */
runnel_consumer *range_consumer(struct cli *cli, const char *topic, const char *from, const char *partitions);
/* Parses --from and --to; 0, or EXIT_USAGE. */
int range_position(struct cli *cli, int id, const char *initial, struct position *out);

#endif
