/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/dead_names.c: which topic holds somebody's dead letters. See dead.h.
 */
#include "client/cli/dead.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char suffix[] = ".dlq", setting[] = "dlq.topic";

bool dead_topic_plain(const char *topic)
{
    const size_t len = strlen(topic), end_len = strlen(suffix);

    return len >= end_len && !strcmp(topic + len - end_len, suffix);
}

const char *dead_topic(const char *topic)
{
    char name[300];

    if (dead_topic_plain(topic))
        return topic;
    snprintf(name, sizeof(name), "%.280s%s", topic, suffix);
    return cli_keep(name);
}

struct names {
    const char **names;
    size_t count;
};

static void keep_name(struct names *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (!strcmp(all->names[i], name))
            return;
    all->names = cli_realloc(all->names, (all->count + 1) * sizeof(*all->names));
    all->names[all->count++] = cli_keep(name);
}

static int keep_topic(void *ctx, const struct runnel_topic_row *row)
{
    keep_name(ctx, row->name);
    return 0;
}

static int keep_group(void *ctx, const struct runnel_group_row *row)
{
    struct names *all = ctx;

    all->names = cli_realloc(all->names, (all->count + 1) * sizeof(*all->names));
    all->names[all->count++] = cli_keep(row->name);
    return 0;
}

/* Adds the topics that match `pattern` and are some group's dlq.topic. */
static int add_set_topics(struct cli *cli, const char *pattern, struct names *topics)
{
    struct names groups = { 0 };
    int rc = EXIT_DONE;

    if (runnel_groups_list(cli->client, NULL, keep_group, &groups) < 0)
        rc = cli_fail_client(cli, NULL);
    for (size_t i = 0; i < groups.count && !rc; i++) {
        struct runnel_group_info *info;
        if (runnel_group_describe(cli->client, groups.names[i], &info) < 0) {
            if (runnel_last_error(cli->client)->code != RUNNEL_E_GROUP_NOT_FOUND)
                rc = cli_fail_client(cli, NULL);
            continue;
        }
        for (size_t k = 0; k < info->config_count; k++) {
            const struct runnel_config_row *c = &info->configs[k];
            if (!strcmp(c->name, setting) && *c->value && strcmp(c->value, "none") != 0 &&
                !fnmatch(pattern, c->value, 0))
                keep_name(topics, c->value);
        }
        runnel_group_info_free(info);
    }
    free(groups.names);
    return rc;
}

int dead_topic_find(struct cli *cli, const char *name, const char **topic)
{
    struct runnel_topic *found;
    struct names set = { 0 };
    int rc = EXIT_DONE;

    *topic = dead_topic(name);
    if (dead_topic_plain(name))
        return EXIT_DONE;
    if (runnel_topic_describe(cli->client, *topic, &found) == 0) {
        runnel_topic_free(found);
        return EXIT_DONE;
    }
    if (runnel_last_error(cli->client)->code != RUNNEL_E_TOPIC_NOT_FOUND)
        return cli_fail_client(cli, *topic);
    rc = add_set_topics(cli, name, &set);
    if (set.count)
        *topic = cli_keep(name);
    free(set.names);
    return rc;
}

int dead_topics(struct cli *cli, const char *name, const char ***topics, size_t *count)
{
    struct names all = { 0 };
    int rc = EXIT_DONE;

    if (name && !strpbrk(name, "*?")) {
        const char *topic;
        rc = dead_topic_find(cli, name, &topic);
        if (!rc)
            keep_name(&all, topic);
    } else if (runnel_topic_list(cli->client, dead_topic(name ? name : "*"), 0, keep_topic, &all) < 0) {
        rc = cli_fail_client(cli, NULL);
    } else {
        rc = add_set_topics(cli, name ? name : "*", &all);
    }
    if (rc)
        free(all.names);
    *topics = rc ? NULL : all.names;
    *count = rc ? 0 : all.count;
    return rc;
}
