/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/change.c: what the commands that change topics and groups have in common: several names at once, and
 * settings before and after.
 */
#include <string.h>

#include "client/cli/cli.h"

static const char *config_value(struct config_list list, const char *name)
{
    for (size_t i = 0; i < list.count; i++) {
        if (!strcmp(list.rows[i].name, name))
            return list.rows[i].value;
    }
    return NULL;
}

void change_configs(struct cli *cli, const char *kind, const struct runnel_config *configs, size_t count,
                    struct config_list before, struct config_list after)
{
    const struct out_column columns[] = {
        { kind, false }, { "config", false }, { "old", false }, { "new", false }
    };

    out_rows_begin(&cli->out, NULL, columns, 4);
    for (size_t i = 0; i < count; i++) {
        out_cell(&cli->out, cli->args.operands[0]);
        out_cell(&cli->out, configs[i].name);
        out_cell(&cli->out, config_value(before, configs[i].name));
        out_cell(&cli->out, config_value(after, configs[i].name));
    }
    out_rows_end(&cli->out);
}

int change_each(struct cli *cli, const struct out_column *columns, size_t column_count,
                int (*one)(struct cli *cli, const char *name, void *ctx), void *ctx)
{
    size_t done = 0;
    int failure = EXIT_DONE, rc = cli_connect(cli);

    if (rc)
        return rc;
    out_rows_begin(&cli->out, NULL, columns, column_count);
    for (size_t i = 0; i < cli->args.operand_count; i++) {
        rc = one(cli, cli->args.operands[i], ctx);
        done += rc == EXIT_DONE;
        failure = rc ? rc : failure;
    }
    cli->out.failed = failure && !done;
    out_rows_end(&cli->out);
    return failure && done ? EXIT_PARTLY : failure;
}
