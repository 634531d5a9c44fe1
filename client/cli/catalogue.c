/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/catalogue.c: `runnel topic lint`: names against the naming policy; `runnel topic import`: the topics of
 * a catalogue, made in one go.
 *
 * A catalogue is YAML: `topics`, a list of mappings with `name`, perhaps `partitions`, and settings of
 * topics; `defaults` has what all of them get. `schema` is a file beside the catalogue with the
 * payload's schema: it becomes the next version of the subject TOPIC-value. `producers`, `consumers` and
 * `purpose` tell people.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "client/cli/cli.h"
#include "client/cli/parse.h"
#include "client/cli/schema.h"

/* ---- lint ---- */

static const struct out_column lint_columns[] = { { "topic", false }, { "ok", false }, { "fault", false } };

struct lint {
    struct out *out;
    size_t faults;
};

static void lint_name(struct lint *lint, const char *name)
{
    char why[RUNNEL_NAME_WHY_BYTES];
    const bool good = runnel_name_check(name, why, sizeof(why)) == 1;

    lint->faults += !good;
    out_cell(lint->out, name);
    out_cell_bool(lint->out, good);
    out_cell(lint->out, good ? NULL : why);
}

static int lint_row(void *ctx, const struct runnel_topic_row *row)
{
    lint_name(ctx, row->name);
    return 0;
}

static int topic_lint(struct cli *cli)
{
    struct lint lint = { .out = &cli->out };
    int rc = cli->args.operand_count ? EXIT_DONE : cli_connect(cli);

    if (rc)
        return rc;
    out_rows_begin(&cli->out, NULL, lint_columns, 3);
    for (size_t i = 0; i < cli->args.operand_count; i++)
        lint_name(&lint, cli->args.operands[i]);
    if (!cli->args.operand_count && runnel_topic_list(cli->client, NULL, 0, lint_row, &lint) < 0)
        rc = cli_fail_client(cli, NULL);
    out_rows_end(&cli->out);
    if (!rc && lint.faults)
        return cli_fail(EXIT_REFUSED, "{namespace}.{domain}.{pattern}.{operation}.{version}",
                        "choose other names, or let naming.policy be warn or off",
                        "%zu name%s not follow the policy", lint.faults, lint.faults == 1 ? " does" : "s do");
    return rc;
}

const struct command topic_lint_command = {
    .noun = "topic",
    .verb = "lint",
    .operands = "[NAME...]",
    .operands_min = 0,
    .operands_max = -1,
    .complete = COMPLETE_TOPIC,
    .summary = "compare names with the naming policy",
    .text = "Looks at these names (the broker is not asked), or at all topics of the broker: do they follow "
            "{namespace}.{domain}.{pattern}.{operation}.{version}? Exit code 4 when one does not. Which "
            "names the "
            "broker takes, its naming.policy says.",
    .examples = { { "runnel topic lint omninode.codegen.request.validate.v1", "one name" },
                  { "runnel topic lint -o jsonl | jq 'select(.ok | not)'",
                    "what the broker has that does not" },
                  { "runnel topic lint rfc.pr.ready || echo choose another", "in scripts" } },
    .run = topic_lint,
};

/* ---- a catalogue ---- */

enum {
    CATALOGUE_TOPICS_MAX = 100000, /* a broker's default limit */
    CATALOGUE_PARTITIONS_MAX = 1024,
};

struct wanted {
    const char *name;
    int64_t partitions; /* 0: as the broker says */
    struct runnel_config configs[CLI_CONFIGS_MAX];
    size_t config_count;
    const char *schema; /* a file, from where the catalogue lies; NULL: none */
};

struct catalogue {
    const char *path;
    yaml_document_t document;
    bool loaded;
    struct wanted defaults, *topics;
    size_t topic_count;
};

static int catalogue_bad(const struct catalogue *c, size_t line, const char *what)
{
    char where[512];

    snprintf(where, sizeof(where), "%s:%zu", c->path, line + 1);
    return cli_fail(EXIT_REFUSED, where, "see configs/catalogue/ for how one looks", "%s", what);
}

static const char *text_of(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static void set_config(struct wanted *w, const char *name, const char *value)
{
    size_t i = 0;

    while (i < w->config_count && strcmp(w->configs[i].name, name) != 0)
        i++;
    w->configs[i] = (struct runnel_config){ name, value };
    w->config_count += i == w->config_count;
}

/* What a topic, or all of them, are to be. */
static int take_wanted(struct catalogue *c, yaml_node_t *map, struct wanted *w)
{
    static const char *const told[] = { "producers", "consumers", "purpose", "fields" };

    if (!map || map->type != YAML_MAPPING_NODE)
        return catalogue_bad(c, map ? map->start_mark.line : 0, "a topic is a mapping of keys and values");
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(&c->document, p->key);
        yaml_node_t *value = yaml_document_get_node(&c->document, p->value);
        const char *name = text_of(key), *text = text_of(value);
        bool only_told = false;
        for (size_t i = 0; name && i < sizeof(told) / sizeof(told[0]); i++)
            only_told |= !strcmp(name, told[i]);
        if (only_told)
            continue;
        if (!name || !text)
            return catalogue_bad(c, value->start_mark.line, "settings are single values");
        if (!strcmp(name, "name"))
            w->name = text;
        else if (!strcmp(name, "schema"))
            w->schema = text;
        else if (!strcmp(name, "partitions")) {
            if (!parse_number(text, 1, CATALOGUE_PARTITIONS_MAX, &w->partitions))
                return catalogue_bad(c, value->start_mark.line, "partitions are a number from 1 to 1024");
        } else if (w->config_count == CLI_CONFIGS_MAX)
            return catalogue_bad(c, value->start_mark.line, "more settings than a topic has");
        else
            set_config(w, name, text);
    }
    return EXIT_DONE;
}

static yaml_node_t *member(struct catalogue *c, const yaml_node_t *map, const char *name)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const char *key = text_of(yaml_document_get_node(&c->document, p->key));
        if (key && !strcmp(key, name))
            return yaml_document_get_node(&c->document, p->value);
    }
    return NULL;
}

static int catalogue_topics(struct catalogue *c)
{
    yaml_node_t *root = yaml_document_get_root_node(&c->document);
    yaml_node_t *defaults = member(c, root, "defaults"), *list = member(c, root, "topics");
    int rc = defaults ? take_wanted(c, defaults, &c->defaults) : EXIT_DONE;
    size_t count;

    if (rc)
        return rc;
    if (!list || list->type != YAML_SEQUENCE_NODE)
        return catalogue_bad(c, root ? root->start_mark.line : 0, "a catalogue has a list called `topics`");
    count = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    if (count > CATALOGUE_TOPICS_MAX)
        return catalogue_bad(c, list->start_mark.line, "more than 100,000 topics");
    c->topics = cli_alloc((count + 1) * sizeof(*c->topics));
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *node = yaml_document_get_node(&c->document, list->data.sequence.items.start[i]);
        c->topics[i] = c->defaults;
        rc = take_wanted(c, node, &c->topics[i]);
        if (!rc && !c->topics[i].name)
            rc = catalogue_bad(c, node->start_mark.line, "a topic without a name");
        if (rc)
            return rc;
        c->topic_count++;
    }
    return EXIT_DONE;
}

static int catalogue_load(struct catalogue *c)
{
    yaml_parser_t parser;
    FILE *in = fopen(c->path, "re");
    int rc = EXIT_DONE;

    if (!in)
        return cli_fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, c->path,
                        "check the file's name and rights", "cannot open it: %s", strerror(errno));
    if (!yaml_parser_initialize(&parser)) {
        fclose(in);
        return cli_fail(EXIT_FAILED, c->path, "free some memory", "no memory to read it");
    }
    yaml_parser_set_input_file(&parser, in);
    c->loaded = yaml_parser_load(&parser, &c->document);
    if (!c->loaded)
        rc = catalogue_bad(c, parser.problem_mark.line, parser.problem ? parser.problem : "this is no YAML");
    yaml_parser_delete(&parser);
    fclose(in);
    return rc ? rc : catalogue_topics(c);
}

static void catalogue_free(struct catalogue *c)
{
    if (c->loaded)
        yaml_document_delete(&c->document);
    free(c->topics);
}

/* ---- import ---- */

static const struct out_column import_columns[] = {
    { "topic", false }, { "partitions", true }, { "result", false }, { "schema", false }
};

struct importing {
    struct cli *cli;
    const char *path; /* of the catalogue */
    bool dry;
    size_t made, there, failed;
    int exit;
};

/* "made", "exists", "would be made"; NULL: it failed, and that was told. */
static const char *import_one(struct importing *i, const struct wanted *w, int64_t *partitions)
{
    runnel_client *client = i->cli->client;
    struct runnel_topic *topic = NULL;
    int made = 0;

    *partitions = w->partitions;
    if (!i->dry) {
        made = runnel_topic_create(client, w->name, (uint32_t)w->partitions, w->configs, w->config_count, 1);
        if (made < 0) {
            i->exit = cli_fail_client(i->cli, w->name);
            return NULL;
        }
    }
    const int rc = runnel_topic_describe(client, w->name, &topic);
    if (rc == -RUNNEL_E_TOPIC_NOT_FOUND && i->dry)
        return "would be made";
    if (rc < 0) {
        i->exit = cli_fail_client(i->cli, w->name);
        return NULL;
    }
    *partitions = (int64_t)topic->partition_count;
    runnel_topic_free(topic);
    return made ? "made" : "exists";
}

/* What became of a topic's schema: "registered", "known", "would be registered"; NULL: it failed. */
static const char *import_schema(struct importing *i, const struct wanted *w)
{
    const char *slash = strrchr(i->path, '/');
    struct runnel_schema *there = NULL;
    struct schema_input input;
    char file[4096], subject[320];
    uint32_t version, id;
    int made = 0;

    snprintf(subject, sizeof(subject), "%s-value", w->name);
    snprintf(file, sizeof(file), "%.*s%s", slash && *w->schema != '/' ? (int)(slash + 1 - i->path) : 0,
             i->path, w->schema);
    i->exit = schema_input_read(i->cli, file, &input);
    if (!i->exit && i->dry) {
        made = runnel_schema_get(i->cli->client, subject, 0, 0, 0, &there) < 0;
        runnel_schema_free(there);
    } else if (!i->exit) {
        made = runnel_schema_register(i->cli->client, subject, &input.schema, 0, &version, &id);
        if (made < 0)
            i->exit = cli_fail_about(i->cli, schema_subject(subject));
    }
    schema_input_free(&input);
    if (i->exit)
        return NULL;
    return !made ? "known" : i->dry ? "would be registered" : "registered";
}

static int import_all(struct importing *i, const struct catalogue *c)
{
    struct out *out = &i->cli->out;

    out_rows_begin(out, NULL, import_columns, 4);
    for (size_t t = 0; t < c->topic_count && !cli_interrupted(); t++) {
        int64_t partitions;
        const char *result = import_one(i, &c->topics[t], &partitions);
        const bool with_schema = result && c->topics[t].schema;
        const char *schema = with_schema ? import_schema(i, &c->topics[t]) : NULL;
        i->failed += !result || (with_schema && !schema);
        i->there += result && !strcmp(result, "exists");
        i->made += result && strcmp(result, "exists") != 0;
        out_cell(out, c->topics[t].name);
        if (partitions)
            out_cell_number(out, partitions);
        else
            out_cell(out, NULL);
        out_cell(out, result ? result : "failed");
        out_cell(out, with_schema && !schema ? "failed" : schema);
        if (i->exit == EXIT_UNREACHABLE || i->exit == EXIT_TIMED_OUT)
            break;
    }
    out_rows_end(out);
    cli_note(i->cli, "%zu topic%s %s, %zu there already%s", i->made, i->made == 1 ? "" : "s",
             i->dry ? "would be made" : "made", i->there, i->failed ? ", the rest failed" : "");
    if (i->failed)
        return i->made + i->there ? EXIT_PARTLY : i->exit;
    return EXIT_DONE;
}

static int topic_import(struct cli *cli)
{
    struct catalogue c = { .path = cli->args.operands[0] };
    struct importing i = { .cli = cli, .path = c.path, .dry = args_flag(&cli->args, OPT_DRY_RUN) };
    int rc = catalogue_load(&c);

    if (!rc)
        rc = cli_connect(cli);
    if (!rc)
        rc = import_all(&i, &c);
    catalogue_free(&c);
    return rc;
}

static const struct option import_options[] = {
    { OPT_DRY_RUN, 0, "dry-run", NULL, NULL, false, "change nothing, list what would be made" },
    { 0 },
};

const struct command topic_import_command = {
    .noun = "topic",
    .verb = "import",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "make the topics of a catalogue",
    .text =
        "FILE is YAML: a list `topics` of mappings with name, partitions and settings, and `defaults` for "
        "all "
        "of them. Topics that exist are left as they are, so running it again changes nothing. Lists each "
        "topic with its partitions and what was done. A topic's `schema`, a file beside the catalogue, is "
        "registered as subject TOPIC-value. The exit code is 7 when some could not be done. Runnel "
        "comes with catalogues, in configs/catalogue/.",
    .options = import_options,
    .examples = { { "runnel topic import configs/catalogue/rfc.yaml", "five topics" },
                  { "runnel topic import omninode.yaml --dry-run", "what would be made" },
                  { "runnel topic import topics.yaml -o jsonl", "in scripts" } },
    .run = topic_import,
};
