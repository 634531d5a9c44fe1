/* SPDX-License-Identifier: Apache-2.0
 *
 * client/options.c: settings by name: one table row each parses, checks and gives the default.
 */
#include "client/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "proto/wire_group.h"

enum kind { KIND_NUMBER, KIND_TEXT, KIND_WORD };

struct word {
    const char *text;
    int64_t value;
};

static const struct word words_bool[] = {
    { "true", 1 }, { "false", 0 }, { "yes", 1 }, { "no", 0 }, { NULL, 0 }
};
static const struct word words_acks[] = {
    { "durable", WIRE_ACKS_DURABLE }, { "memory", WIRE_ACKS_MEMORY }, { "none", WIRE_ACKS_NONE }, { NULL, 0 }
};
static const struct word words_codec[] = {
    { "none", CODEC_NONE }, { "lz4", CODEC_LZ4 }, { "zstd", CODEC_ZSTD }, { NULL, 0 }
};
static const struct word words_mode[] = {
    { "any", WIRE_GROUP_ANY }, { "ordered", WIRE_GROUP_ORDERED }, { "shared", WIRE_GROUP_SHARED }, { NULL, 0 }
};
static const struct word words_reset[] = { { "default", WIRE_GROUP_RESET_DEFAULT },
                                           { "start", WIRE_GROUP_RESET_START },
                                           { "end", WIRE_GROUP_RESET_END },
                                           { "error", WIRE_GROUP_RESET_ERROR },
                                           { NULL, 0 } };
static const struct word words_partitioner[] = { { "murmur2", 0 }, { NULL, 0 } };

struct row {
    const char *name;
    enum kind kind;
    size_t offset, size;
    int64_t min, max, initial;
    const char *text; /* KIND_TEXT: the default */
    const struct word *words;
};

#define NUMBER(name, field, min, max, initial)                                                               \
    {                                                                                                        \
        name, KIND_NUMBER, offsetof(struct options, field), 0, min, max, initial, NULL, NULL                 \
    }
#define WORD(name, field, words, initial)                                                                    \
    {                                                                                                        \
        name, KIND_WORD, offsetof(struct options, field), 0, 0, 0, initial, NULL, words                      \
    }
#define TEXT(name, field, initial)                                                                           \
    {                                                                                                        \
        name, KIND_TEXT, offsetof(struct options, field), sizeof(((struct options *)0)->field), 0, 0, 0,     \
            initial, NULL                                                                                    \
    }

enum { DAY_MS = 86400000, BYTES_MAX = 1 << 30 };

static const struct row rows[] = {
    TEXT("client.name", client_name, "librunnel"),
    NUMBER("connect.timeout.ms", connect_timeout_ms, 1, DAY_MS, 5000),
    NUMBER("retry.for.ms", retry_for_ms, 0, 30LL * DAY_MS, 120000),
    NUMBER("request.timeout.ms", request_timeout_ms, 1, DAY_MS, 30000),
    NUMBER("reconnect.backoff.ms", backoff_ms, 1, DAY_MS, 20),
    NUMBER("reconnect.backoff.max.ms", backoff_max_ms, 1, DAY_MS, 1000),
    WORD("acks", acks, words_acks, WIRE_ACKS_DURABLE),
    WORD("compression", compression, words_codec, CODEC_NONE),
    WORD("idempotent", idempotent, words_bool, -1),
    NUMBER("batch.bytes", batch_bytes, 1024, 64 << 20, 256 << 10),
    NUMBER("buffer.bytes", buffer_bytes, 64 << 10, BYTES_MAX, 16 << 20),
    NUMBER("in.flight", in_flight, 1, 256, 8),
    NUMBER("linger.us", linger_us, 0, 10000000, 0),
    WORD("create", create, words_bool, 1),
    { "partitioner", KIND_WORD, SIZE_MAX, 0, 0, 0, 0, NULL, words_partitioner },
    TEXT("from", from, "end"),
    TEXT("partitions", partitions, "all"),
    NUMBER("credit.bytes", credit_bytes, 4096, BYTES_MAX, 4 << 20),
    WORD("check.crc", check_crc, words_bool, 1),
    WORD("mode", mode, words_mode, WIRE_GROUP_ANY),
    TEXT("instance", instance, ""),
    NUMBER("max.in.flight", max_in_flight, 0, 1 << 20, 0),
    WORD("reset", reset, words_reset, WIRE_GROUP_RESET_DEFAULT),
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static int64_t *number_at(struct options *o, const struct row *row)
{
    return (int64_t *)((char *)o + row->offset);
}

void options_default(struct options *o)
{
    memset(o, 0, sizeof(*o));
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].kind == KIND_TEXT)
            snprintf((char *)o + rows[i].offset, rows[i].size, "%s", rows[i].text);
        else if (rows[i].offset != SIZE_MAX)
            *number_at(o, &rows[i]) = rows[i].initial;
    }
}

runnel_options *runnel_options_new(void)
{
    struct runnel_options *o = malloc(sizeof(*o));
    if (o)
        options_default(&o->values);
    return o;
}

void runnel_options_free(runnel_options *options)
{
    free(options);
}

static int set_number(struct options *o, const struct row *row, const char *value)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (errno || end == value || *end || n < row->min || n > row->max)
        return client_error(NULL, ERR_CLIENT_ARGUMENT, "option %s: '%.64s' is not a number from %lld to %lld",
                            row->name, value, (long long)row->min, (long long)row->max);
    *number_at(o, row) = n;
    return 0;
}

static int set_word(struct options *o, const struct row *row, const char *value)
{
    char known[96] = "";
    for (const struct word *w = row->words; w->text; w++) {
        if (strcmp(w->text, value) == 0) {
            if (row->offset != SIZE_MAX)
                *number_at(o, row) = w->value;
            return 0;
        }
        size_t len = strlen(known);
        snprintf(known + len, sizeof(known) - len, "%s%s", len ? ", " : "", w->text);
    }
    return client_error(NULL, ERR_CLIENT_ARGUMENT, "option %s: '%.64s' is none of: %s", row->name, value,
                        known);
}

static int set_text(struct options *o, const struct row *row, const char *value)
{
    struct wire_position position;
    if (strlen(value) >= row->size)
        return client_error(NULL, ERR_CLIENT_ARGUMENT, "option %s: longer than %zu bytes", row->name,
                            row->size - 1);
    if (strcmp(row->name, "from") == 0 && !options_position(value, &position))
        return client_error(NULL, ERR_CLIENT_ARGUMENT,
                            "option from: '%.64s' is not start, end, an offset, -N or @MILLISECONDS", value);
    if (strcmp(row->name, "partitions") == 0 && options_partitions(value, NULL, 0) < 0)
        return client_error(NULL, ERR_CLIENT_ARGUMENT,
                            "option partitions: '%.64s' is neither 'all' nor a list like 0,3,5", value);
    snprintf((char *)o + row->offset, row->size, "%s", value);
    return 0;
}

int runnel_options_set(runnel_options *options, const char *name, const char *value)
{
    if (!options || !name || !value)
        return client_error(NULL, ERR_CLIENT_ARGUMENT, "an option needs a name and a value");
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        switch (rows[i].kind) {
        case KIND_NUMBER:
            return set_number(&options->values, &rows[i], value);
        case KIND_WORD:
            return set_word(&options->values, &rows[i], value);
        case KIND_TEXT:
            return set_text(&options->values, &rows[i], value);
        }
    }
    return client_error(NULL, ERR_CLIENT_ARGUMENT, "there is no option '%.64s': see runnel.h for the names",
                        name);
}

static bool whole_number(const char *text, int64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

bool options_position(const char *text, struct wire_position *out)
{
    out->value = 0;
    if (strcmp(text, "start") == 0) {
        out->from = WIRE_FROM_START;
        return true;
    }
    if (strcmp(text, "end") == 0) {
        out->from = WIRE_FROM_END;
        return true;
    }
    if (*text == '@') {
        out->from = WIRE_FROM_TIME;
        return whole_number(text + 1, &out->value);
    }
    if (*text == '-') {
        out->from = WIRE_FROM_END;
        return whole_number(text + 1, &out->value);
    }
    out->from = WIRE_FROM_OFFSET;
    return whole_number(text, &out->value);
}

int64_t options_partitions(const char *text, bool *set, uint32_t count)
{
    if (strcmp(text, "all") == 0) {
        for (uint32_t i = 0; set && i < count; i++)
            set[i] = true;
        return 0;
    }
    int64_t beyond = 0;
    for (const char *p = text;;) {
        char *end;
        if (*p < '0' || *p > '9')
            return -1;
        errno = 0;
        long long n = strtoll(p, &end, 10);
        if (errno || n > INT32_MAX - 1)
            return -1;
        if (set && n < count)
            set[n] = true;
        else if (set && !beyond)
            beyond = n + 1;
        if (*end == '\0')
            return beyond;
        if (*end != ',')
            return -1;
        p = end + 1;
    }
}
