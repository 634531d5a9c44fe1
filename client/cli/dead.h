/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/dead.h: dead letters: those of a topic that are not dealt with, one after another, and which of them a
 * command is about.
 *
 * What is dealt with is the position of the pseudo group `__dlq`, and the ranges done beyond it. Both, and
 * the partitions' ends, are as they were when the reading began.
 */
#ifndef RUNNEL_CLI_DEAD_H
#define RUNNEL_CLI_DEAD_H

#include "client/cli/cli.h"

/* A text of a header; terminated, what is not UTF-8 replaced; "" without it. */
struct dead_letter {
    const struct runnel_record *record; /* lent until the next one */
    const char *topic;                  /* where it was published */
    int64_t partition, offset;          /* -1: it does not say */
    const char *error_type, *error_message, *error_stack_trace, *failed_at, *group, *instance, *disposition;
    const char *type, *correlation_id;
    int64_t retry_count, failed_at_ms; /* -1: it does not say */
    bool settled;
};

struct dead_partition {
    int64_t next, end; /* what is to be looked at: [next, end) */
    int64_t *done;     /* pairs: first, end */
    size_t done_count, done_at;
    runnel_consumer *consumer; /* NULL: nothing to read, or read */
};

struct dead_reader {
    struct cli *cli;
    const char *topic; /* ORDERS.dlq */
    struct dead_partition *partitions;
    size_t count, at;
    uint64_t events;   /* that are to be looked at, in all */
    bool with_settled; /* those dealt with, too */
    int error;         /* exit code; 0: none */
    struct dead_letter letter;
    struct runnel_record record;
    struct runnel_record_header *headers;
    size_t header_size;
    char *texts; /* of the letter */
    size_t texts_size;
};

/* Which ones. */
struct dead_filter {
    const char *where_type, *group, *correlation_id, *json_path;
    size_t json_path_len;
    const char *json_value;    /* NULL: the path is enough */
    int64_t since_ms;          /* INT64_MIN: any */
    const struct args *args;   /* --header */
    const char *const *places; /* "PARTITION:OFFSET"; none: all */
    size_t place_count;
    uint64_t limit;
};

/* "orders" and "orders.dlq" are "orders.dlq"; stays until the command ends. */
const char *dead_topic(const char *topic);
/* Does the name end as those of dead-letter topics do? */
bool dead_topic_plain(const char *topic);
/* The same, but a topic that some group's dlq.topic names is one itself, unless there is a NAME.dlq. 0, or an
 * exit code. */
int dead_topic_find(struct cli *cli, const char *name, const char **topic);
/* The dead-letter topics that a name or pattern (NULL: every one) means; 0, or an exit code. */
int dead_topics(struct cli *cli, const char *name, const char ***topics, size_t *count);

/* 0, or an exit code with the error printed. A missing dead-letter topic of a topic that exists has no dead
 * letters.
 */
int dead_open(struct cli *cli, struct dead_reader *r, const char *topic);
/* Of one partition, from `offset` on. */
int dead_open_at(struct cli *cli, struct dead_reader *r, const char *topic, int64_t partition,
                 int64_t offset);
/* Waits for the next one: false at the end, on ^C, and on an error (r->error). */
bool dead_next(struct dead_reader *r);
void dead_close(struct dead_reader *r);

/* From the command line, operands from `first` on; 0, or an exit code. */
int dead_filter(struct cli *cli, struct dead_filter *filter, size_t first);
bool dead_wanted(const struct dead_filter *filter, const struct dead_letter *letter);
/* "3:17"; false: something else. */
bool dead_place(const char *text, int64_t *partition, int64_t *offset);

#endif
