/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/schema_sync.c: `runnel schema sync DIR`: a directory of schemas and the registry brought into
 * agreement. All of it is judged before anything is changed, and nothing is if any of it would be refused.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/schema.h"

enum { SYNC_FILES_MAX = 10000, SYNC_WHY_BYTES = 256 };

enum sync_state { SYNC_SAME, SYNC_NEW, SYNC_CHANGED, SYNC_REFUSED, SYNC_NO_FILE };

struct sync_row {
    char *subject, *path; /* path NULL: there is no file */
    enum sync_state state;
    uint32_t version; /* the latest there is; 0: none */
    char why[SYNC_WHY_BYTES];
};

struct sync {
    struct cli *cli;
    struct sync_row *rows;
    size_t count, room;
    size_t refused, to_do;
};

static struct sync_row *sync_add(struct sync *s, const char *subject)
{
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 64;
        s->rows = cli_realloc(s->rows, s->room * sizeof(*s->rows));
    }
    s->rows[s->count] = (struct sync_row){ .subject = cli_keep(subject), .state = SYNC_NO_FILE };
    return &s->rows[s->count++];
}

static struct sync_row *sync_find(struct sync *s, const char *subject)
{
    for (size_t i = 0; i < s->count; i++) {
        if (!strcmp(s->rows[i].subject, subject))
            return &s->rows[i];
    }
    return NULL;
}

static int by_subject(const void *a, const void *b)
{
    return strcmp(((const struct sync_row *)a)->subject, ((const struct sync_row *)b)->subject);
}

/* SUBJECT.json is the schema of SUBJECT. */
static int sync_files(struct sync *s, const char *directory)
{
    DIR *files = opendir(directory);
    struct dirent *entry;

    if (!files)
        return cli_fail(EXIT_NOT_FOUND, directory, "name a directory with files SUBJECT.json",
                        "cannot read it: %s", strerror(errno));
    while ((entry = readdir(files)) && s->count < SYNC_FILES_MAX) {
        const size_t n = strlen(entry->d_name);
        char path[4096], *subject;

        if (n <= 5 || strcmp(entry->d_name + n - 5, ".json") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        subject = cli_keep(entry->d_name);
        subject[n - 5] = '\0';
        sync_add(s, subject)->path = cli_keep(path);
    }
    closedir(files);
    if (s->count == SYNC_FILES_MAX)
        return cli_fail(EXIT_REFUSED, directory, "sync it in parts", "more than %d schemas", SYNC_FILES_MAX);
    return EXIT_DONE;
}

static int sync_known(void *ctx, const struct runnel_schema_row *row)
{
    struct sync *s = ctx;
    struct sync_row *known = sync_find(s, row->subject);

    if (!known)
        known = sync_add(s, row->subject);
    if (row->version > known->version)
        known->version = row->version;
    return 0;
}

static void sync_objection(void *ctx, const struct runnel_schema_objection *objection)
{
    struct sync_row *row = ctx;

    if (!row->why[0])
        snprintf(row->why, sizeof(row->why), "%s at %s, not %s compatible with version %u", objection->change,
                 objection->path, objection->forward ? "forward" : "backward", objection->version);
}

/* The same text as the latest version's, but for white space around it? */
static bool same_text(const struct schema_input *input, const struct runnel_schema *latest)
{
    static const char space[] = " \t\r\n";
    const char *a = input->text, *b = latest->schema.text;
    size_t n = input->len, m = latest->schema.text_len;

    for (; n && strchr(space, a[n - 1]); n--)
        ;
    for (; m && strchr(space, b[m - 1]); m--)
        ;
    return n == m && memcmp(a, b, n) == 0;
}

static int sync_judge(struct sync *s, struct sync_row *row)
{
    struct runnel_schema *latest = NULL;
    struct schema_input input;
    int verdict, rc = schema_input_read(s->cli, row->path, &input);

    if (!rc && row->version && runnel_schema_get(s->cli->client, row->subject, 0, 0, 0, &latest) < 0)
        rc = cli_fail_about(s->cli, schema_subject(row->subject));
    if (!rc && latest && same_text(&input, latest)) {
        row->state = SYNC_SAME;
    } else if (!rc) {
        row->state = row->version ? SYNC_CHANGED : SYNC_NEW;
        verdict = runnel_schema_check(s->cli->client, row->subject, 0, &input.schema, sync_objection, row);
        if (verdict < 0)
            snprintf(row->why, sizeof(row->why), "%s", runnel_last_error(s->cli->client)->text);
        if (verdict != 0)
            row->state = SYNC_REFUSED;
    }
    runnel_schema_free(latest);
    schema_input_free(&input);
    s->refused += row->state == SYNC_REFUSED;
    s->to_do += row->state == SYNC_NEW || row->state == SYNC_CHANGED;
    return rc;
}

static int sync_apply(struct sync *s, struct sync_row *row)
{
    struct schema_input input;
    uint32_t id;
    int rc = schema_input_read(s->cli, row->path, &input);

    if (!rc && runnel_schema_register(s->cli->client, row->subject, &input.schema, 0, &row->version, &id) < 0)
        rc = cli_fail_about(s->cli, schema_subject(row->subject));
    schema_input_free(&input);
    return rc;
}

static const struct out_column sync_columns[] = {
    { "subject", false }, { "version", true }, { "status", false }, { "reason", false }
};

static void sync_show(struct sync *s, bool applied)
{
    static const char *const now[] = { "same", "registered", "registered", "refused",
                                       "only in the registry" };
    static const char *const then[] = { "same", "new", "changed", "refused", "only in the registry" };

    out_rows_begin(&s->cli->out, NULL, sync_columns, 4);
    for (size_t i = 0; i < s->count; i++) {
        out_cell(&s->cli->out, s->rows[i].subject);
        out_cell_number(&s->cli->out, s->rows[i].version);
        out_cell(&s->cli->out, (applied ? now : then)[s->rows[i].state]);
        out_cell(&s->cli->out, s->rows[i].why[0] ? s->rows[i].why : NULL);
    }
    out_rows_end(&s->cli->out);
}

static int schema_sync(struct cli *cli)
{
    const bool apply = args_flag(&cli->args, OPT_APPLY);
    struct sync s = { .cli = cli };
    int rc = sync_files(&s, cli->args.operands[0]);

    if (!rc)
        rc = cli_connect(cli);
    if (!rc && runnel_schema_list(cli->client, NULL, 0, sync_known, &s) < 0)
        rc = cli_fail_client(cli, NULL);
    if (!rc && s.count)
        qsort(s.rows, s.count, sizeof(*s.rows), by_subject);
    for (size_t i = 0; !rc && i < s.count; i++)
        rc = s.rows[i].path ? sync_judge(&s, &s.rows[i]) : EXIT_DONE;
    for (size_t i = 0; !rc && apply && !s.refused && i < s.count; i++) {
        if (s.rows[i].state == SYNC_NEW || s.rows[i].state == SYNC_CHANGED)
            rc = sync_apply(&s, &s.rows[i]);
    }
    if (!rc)
        sync_show(&s, apply && !s.refused);
    if (!rc && s.refused)
        rc = cli_fail(EXIT_REFUSED, cli->args.operands[0], "see the reasons; nothing was changed",
                      "%zu schemas would be refused", s.refused);
    else if (!rc && !apply && s.to_do)
        cli_note(cli, "nothing was changed: --apply registers %zu schemas", s.to_do);
    free(s.rows);
    return rc;
}

static const struct option sync_options[] = {
    { OPT_APPLY, 0, "apply", NULL, NULL, false, "register what is new or changed, if nothing is refused" },
    { 0 },
};

const struct command schema_sync_command = {
    .noun = "schema",
    .verb = "sync",
    .operands = "DIR",
    .operands_min = 1,
    .operands_max = 1,
    .complete = COMPLETE_DIRECTORY,
    .summary = "bring a directory of schemas and the registry into agreement",
    .text = "DIR has a file SUBJECT.json for each subject; schemas in it refer to nothing outside of "
            "themselves. Shows what "
            "is new, changed, would be refused (exit code 4), or is only in the registry; changes nothing "
            "without --apply, "
            "and nothing at all if any of it would be refused. Never deletes.",
    .options = sync_options,
    .examples = { { "runnel schema sync schemas/", "what would be done" },
                  { "runnel schema sync schemas/ --apply", "do it" },
                  { "runnel schema sync schemas/ -o jsonl", "for a program" } },
    .run = schema_sync,
};
