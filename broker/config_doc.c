/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/config_doc.c: docs/configuration.md and configs/runneld.yaml, printed from the table.
 */
#include <string.h>

#include "config.h"

static const char DOC_HEAD[] =
    "# Configuration\n"
    "\n"
    "<!-- Printed by `runneld --print-config-doc` from the table in broker/config.h: change it there. -->\n"
    "\n"
    "`runneld --config FILE` reads a YAML file; `runneld --data DIR` needs none. `runneld --check-config "
    "FILE`\n"
    "checks a file and says what is wrong with it, by file and line; an unknown key is an error.\n"
    "[configs/runneld.yaml](../configs/runneld.yaml) lists every key with its default.\n"
    "\n"
    "- A key may be written dotted (`journal.files.max: 16`), nested (`journal: {files: {max: 16}}`), or "
    "mixed.\n"
    "- Sizes take `KiB`, `MiB`, `GiB`; times take `ms`, `s`, `m`, `h`, `d`.\n"
    "- The environment overrides the file: `journal.files.max` is `RUNNEL_JOURNAL_FILES_MAX`. The command "
    "line\n"
    "  overrides both.\n"
    "- *Reload*: SIGHUP reads the file again and changes these keys at run time; for others a message says "
    "that\n"
    "  they need a restart.\n"
    "\n"
    "| key | kind | default | range | reload | meaning |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
    "| `data.dir` | path | (must be set) | | | directory of journal, segments, checkpoints; made when "
    "missing |\n"
    "| `listen` | list of URLs | `tcp://127.0.0.1:7411` and `unix:<data.dir>/runnel.sock` | at most 16 | | "
    "`tcp://HOST:PORT` (port 0: a free one), `tcp://[IPv6]:PORT`, `unix:PATH` |\n"
    "| `naming.policy` | list of modes | `warn` | off, warn, strict; NAMESPACE=MODE | yes | "
    "[names of new topics](#names-and-templates) |\n"
    "| `templates` | list | | at most 64 | yes | [what new topics get by their names](#names-and-templates) "
    "|\n";

static const char DOC_RULES[] =
    "\n"
    "## Names and templates\n"
    "\n"
    "A topic's name follows the policy when it is `{namespace}.{domain}.{pattern}.{operation}.{version}`: "
    "small\n"
    "letters, digits, `_` and `-`; pattern is request, response, event or audit; version is v1, v2 ...; "
    "`audit`\n"
    "may stand for domain and pattern. `naming.policy` says what becomes of new topics whose name does not:\n"
    "`strict` refuses them (NAME_REFUSED), `warn` writes a message, `off` does not look. Namespaces may "
    "differ from\n"
    "the rest: `naming.policy: warn, omninode=strict, rfc=off`. Topics that exist are left alone; `runnel "
    "topic\n"
    "lint` looks at them.\n"
    "\n"
    "A new topic gets what the first of `templates` whose `match` it has says: `partitions`, and settings of "
    "topics.\n"
    "What its creator says counts more.\n"
    "\n"
    "```yaml\n"
    "templates:\n"
    "  - match: \"*.audit.*\"\n"
    "    partitions: 1\n"
    "    retention.ms: -1\n"
    "  - match: \"omninode.codegen.*\"\n"
    "    partitions: 6\n"
    "```\n";

static const char DOC_TOPICS[] =
    "\n"
    "## Defaults of topics\n"
    "\n"
    "Under `topic.`: what a topic has that does not set its own (`runnel topic set NAME key=value`). SIGHUP\n"
    "changes them. -1 means no limit.\n"
    "\n"
    "| key | default | meaning |\n"
    "| --- | --- | --- |\n";

static const char *config_kind_name(enum config_kind kind)
{
    static const char *const NAMES[] = { "count", "size", "time", "microseconds", "true or false", "choice" };
    return NAMES[kind];
}

/* A choice's bars would end a table's cell. */
static void config_print_range(FILE *out, const struct config_key *key)
{
    char low[32], high[32];
    config_text(key, key->min, low, sizeof(low));
    config_text(key, key->max, high, sizeof(high));
    if (key->kind == CONFIG_CHOICE) {
        for (const char *p = key->choices; *p; p++) {
            if (*p == '|')
                fputs(", ", out);
            else
                fputc(*p, out);
        }
    } else if (key->kind != CONFIG_BOOL) {
        fprintf(out, "%s to %s", low, high);
    }
}

void config_print_doc(FILE *out)
{
    fputs(DOC_HEAD, out);
    for (uint32_t i = 0; i < config_key_count(); i++) {
        const struct config_key *key = config_key_row(i);
        char initial[32];
        config_text(key, key->initial, initial, sizeof(initial));
        fprintf(out, "| `%s` | %s | `%s` | ", key->name, config_kind_name(key->kind), initial);
        config_print_range(out, key);
        fprintf(out, " | %s | %s |\n", key->reloads ? "yes" : "", key->help);
    }
    fputs(DOC_TOPICS, out);
    struct topic_settings defaults;
    settings_init(&defaults);
    for (uint32_t i = 0; i < settings_count(); i++) {
        char text[SETTINGS_TEXT_BYTES];
        settings_text(&defaults, i, text);
        fprintf(out, "| `topic.%s` | `%s` | %s |\n", settings_row(i)->name, text, settings_row(i)->help);
    }
    fputs(DOC_RULES, out);
}

/* A comment, broken at 100 columns. */
static void config_print_comment(FILE *out, const char *text)
{
    size_t column = 0;
    fputs("#", out);
    while (*text) {
        const size_t word = strcspn(text, " ");
        if (column + 1 + word > 98) {
            fputs("\n#", out);
            column = 0;
        }
        fprintf(out, " %.*s", (int)word, text);
        column += 1 + word;
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

void config_print_yaml(FILE *out)
{
    fputs("# runneld's configuration: every key with its default. Printed by `runneld --print-config`;\n"
          "# docs/configuration.md has the ranges. Remove the # in front of what you change.\n"
          "\n"
          "# where everything is kept; made when missing\n"
          "data.dir: /var/lib/runneld\n"
          "\n"
          "# where clients connect: tcp://HOST:PORT, tcp://[IPv6]:PORT, unix:PATH\n"
          "#listen:\n"
          "#  - tcp://127.0.0.1:7411\n"
          "#  - unix:/var/lib/runneld/runnel.sock\n"
          "\n"
          "# new topics whose name is not {namespace}.{domain}.{pattern}.{operation}.{version}: off, warn, "
          "strict;\n"
          "# NAMESPACE=MODE for those that differ\n"
          "#naming.policy: warn\n"
          "\n"
          "# what new topics get by their names; the first that matches counts\n"
          "#templates:\n"
          "#  - match: \"*.audit.*\"\n"
          "#    partitions: 1\n"
          "#    retention.ms: -1\n",
          out);
    for (uint32_t i = 0; i < config_key_count(); i++) {
        const struct config_key *key = config_key_row(i);
        char initial[32];
        config_text(key, key->initial, initial, sizeof(initial));
        fputc('\n', out);
        config_print_comment(out, key->help);
        fprintf(out, "#%s: %s\n", key->name, initial);
    }
    struct topic_settings defaults;
    settings_init(&defaults);
    for (uint32_t i = 0; i < settings_count(); i++) {
        char text[SETTINGS_TEXT_BYTES];
        settings_text(&defaults, i, text);
        fputc('\n', out);
        config_print_comment(out, settings_row(i)->help);
        fprintf(out, "#topic.%s: %s\n", settings_row(i)->name, text);
    }
}
