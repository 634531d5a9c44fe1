/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/dead_filter.c: which dead letters a command is about.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/dead.h"
#include "client/cli/encode.h"
#include "client/cli/json_path.h"
#include "client/cli/parse.h"

bool dead_place(const char *text, int64_t *partition, int64_t *offset)
{
    char first[24];
    const char *colon = strchr(text, ':');

    if (!colon || colon - text >= (ptrdiff_t)sizeof(first))
        return false;
    memcpy(first, text, (size_t)(colon - text));
    first[colon - text] = '\0';
    return parse_number(first, 0, INT32_MAX, partition) && parse_number(colon + 1, 0, INT64_MAX, offset);
}

/* --since: a duration (ago) or a time. */
static int since(struct cli *cli, int64_t *out)
{
    const char *text = args_value(&cli->args, OPT_SINCE);
    int64_t ago_ms;

    *out = INT64_MIN;
    if (!text)
        return EXIT_DONE;
    if (parse_duration_ms(text, &ago_ms)) {
        *out = cli_now_ms() - ago_ms;
        return EXIT_DONE;
    }
    if (parse_time_ms(text + (*text == '@'), cli_now_ms(), out))
        return EXIT_DONE;
    return cli_usage("write 1h, 30m or 2026-11-21T02:11:37Z", "'%s' is neither a duration nor a time", text);
}

int dead_filter(struct cli *cli, struct dead_filter *filter, size_t first)
{
    const struct args *args = &cli->args;
    const char *path = args_value(args, OPT_JSON_PATH), *header;
    int64_t limit, unused;
    size_t i = 0;
    int rc = cli_number(cli, OPT_LIMIT, 1, INT64_MAX, INT64_MAX, &limit);

    if (rc)
        return rc;
    *filter =
        (struct dead_filter){ .where_type = args_value(args, OPT_WHERE_TYPE),
                              .group = args_value(args, OPT_GROUP),
                              .correlation_id = args_value(args, OPT_CORRELATION),
                              .args = args,
                              .places = args->operands + first,
                              .place_count = args->operand_count > first ? args->operand_count - first : 0,
                              .limit = (uint64_t)limit };
    while ((header = args_each(args, OPT_HEADER, &i)))
        if (!strchr(header, '='))
            return cli_usage("write it as NAME=VALUE", "'%s' is no header", header);
    for (i = 0; i < filter->place_count; i++)
        if (!dead_place(filter->places[i], &unused, &unused))
            return cli_usage("write PARTITION:OFFSET, as `runnel dlq list` shows it",
                             "'%s' is no dead letter", filter->places[i]);
    if (path) {
        const char *equals = strchr(path, '=');
        filter->json_path = path;
        filter->json_path_len = equals ? (size_t)(equals - path) : strlen(path);
        filter->json_value = equals ? equals + 1 : NULL;
        if (!json_path_valid(path, filter->json_path_len))
            return cli_usage("write $.customer.id=17 or $.items[0]", "'%s' is no path", path);
    }
    return since(cli, &filter->since_ms);
}

/* '*' is anything, '?' one character. */
static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static bool has_header(const struct runnel_record *record, const char *wanted)
{
    const char *equals = strchr(wanted, '='), *name;
    const size_t wanted_name = (size_t)(equals - wanted), wanted_value = strlen(equals + 1);
    const void *value;
    size_t name_len, value_len;

    for (size_t i = 0; i < record->header_count; i++) {
        if (runnel_record_header(record, i, &name, &name_len, &value, &value_len) < 0)
            return false;
        if (name_len == wanted_name && !memcmp(name, wanted, name_len) && value &&
            value_len == wanted_value && !memcmp(value, equals + 1, value_len))
            return true;
    }
    return false;
}

static bool has_value(const struct dead_filter *f, const struct runnel_record *record)
{
    const char *at;
    size_t len;
    bool unused;

    return record->value && json_valid(record->value, record->value_len, &unused) &&
           json_path_find(record->value, record->value_len, f->json_path, f->json_path_len, &at, &len) &&
           (!f->json_value || json_value_is(at, len, f->json_value));
}

static bool is_named(const struct dead_filter *f, const struct runnel_record *record)
{
    int64_t partition, offset;

    for (size_t i = 0; i < f->place_count; i++)
        if (dead_place(f->places[i], &partition, &offset) && partition == record->partition &&
            offset == record->offset)
            return true;
    return f->place_count == 0;
}

bool dead_wanted(const struct dead_filter *f, const struct dead_letter *l)
{
    const char *header;
    size_t i = 0;

    if (!is_named(f, l->record) || (f->where_type && !matches(f->where_type, l->error_type)) ||
        (f->group && strcmp(f->group, l->group) != 0) ||
        (f->correlation_id && strcmp(f->correlation_id, l->correlation_id) != 0) ||
        (f->since_ms != INT64_MIN && l->failed_at_ms < f->since_ms))
        return false;
    while ((header = args_each(f->args, OPT_HEADER, &i)))
        if (!has_header(l->record, header))
            return false;
    return !f->json_path || has_value(f, l->record);
}
