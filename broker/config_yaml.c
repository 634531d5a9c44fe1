/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/config_yaml.c: reads the YAML file by libyaml's events, so that every message names file and line.
 *
 * A mapping's keys are joined with dots to the name of a key of the table: "journal: {files.max: 4}" and
 * "journal.files.max: 4" are the same. Lists are the values of "listen" and of "templates", and of nothing
 * else.
 */
#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "config.h"

enum { CONFIG_DEPTH_MAX = 8, CONFIG_KEYS_MAX = 256, CONFIG_FULL_BYTES = 2 * CONFIG_NAME_BYTES };

struct config_file {
    struct config *c;
    const char *path;
    char *why;
    yaml_parser_t parser;
    yaml_event_t event;
    char name[CONFIG_FULL_BYTES];   /* of the key being read */
    size_t stack[CONFIG_DEPTH_MAX]; /* where `name` ended in each mapping around it */
    uint32_t depth;
    char seen[CONFIG_KEYS_MAX][CONFIG_FULL_BYTES];
    uint32_t seen_count;
};

static bool config_fail(struct config_file *f, size_t line, const char *text)
{
    snprintf(f->why, CONFIG_WHY_BYTES, "%.160s:%zu: %.300s", f->path, line + 1, text);
    return false;
}

static bool config_next(struct config_file *f)
{
    yaml_event_delete(&f->event);
    if (yaml_parser_parse(&f->parser, &f->event))
        return true;
    char text[256];
    snprintf(text, sizeof(text), "not YAML: %s%s%s", f->parser.problem ? f->parser.problem : "unreadable",
             f->parser.context ? ", " : "", f->parser.context ? f->parser.context : "");
    f->event.type = YAML_NO_EVENT;
    return config_fail(f, f->parser.problem_mark.line, text);
}

/* Adds a mapping's key to the name; false when the whole is too long to be a key of ours. */
static bool config_push(struct config_file *f, size_t prefix)
{
    const char *key = (const char *)f->event.data.scalar.value;
    const size_t len = strlen(key), dot = prefix > 0;
    if (prefix + dot + len >= sizeof(f->name))
        return config_fail(f, f->event.start_mark.line, "the key is too long to be one of the broker's");
    if (dot)
        f->name[prefix] = '.';
    memcpy(f->name + prefix + dot, key, len + 1);
    return true;
}

static bool config_once(struct config_file *f)
{
    char text[256];
    for (uint32_t i = 0; i < f->seen_count; i++) {
        if (strcmp(f->seen[i], f->name) == 0) {
            snprintf(text, sizeof(text), "key \"%s\" is given twice: remove one", f->name);
            return config_fail(f, f->event.start_mark.line, text);
        }
    }
    if (f->seen_count == CONFIG_KEYS_MAX)
        return config_fail(f, f->event.start_mark.line, "more keys than the broker has");
    memcpy(f->seen[f->seen_count++], f->name, sizeof(f->name));
    return true;
}

static bool config_scalar(struct config_file *f)
{
    char why[CONFIG_WHY_BYTES];
    const size_t line = f->event.start_mark.line;
    if (!config_once(f))
        return false;
    return config_set(f->c, f->name, (const char *)f->event.data.scalar.value, why) ||
           config_fail(f, line, why);
}

/* One template: "key: value" lines. */
static bool config_one_template(struct config_file *f)
{
    char why[CONFIG_WHY_BYTES], key[CONFIG_FULL_BYTES];
    const size_t line = f->event.start_mark.line;
    if (f->event.type != YAML_MAPPING_START_EVENT)
        return config_fail(f, line, "templates: give a list of \"match: PATTERN\" and settings");
    if (!config_template(f->c, why))
        return config_fail(f, line, why);
    for (;;) {
        if (!config_next(f))
            return false;
        if (f->event.type == YAML_MAPPING_END_EVENT)
            return config_template_done(f->c, why) || config_fail(f, line, why);
        const size_t at = f->event.start_mark.line;
        if (f->event.type != YAML_SCALAR_EVENT)
            return config_fail(f, at, "expected a key");
        snprintf(key, sizeof(key), "%s", (const char *)f->event.data.scalar.value);
        if (!config_next(f))
            return false;
        if (f->event.type != YAML_SCALAR_EVENT)
            return config_fail(f, at, "a template's keys take one value each");
        if (!config_template_set(f->c, key, (const char *)f->event.data.scalar.value, why))
            return config_fail(f, at, why);
    }
}

static bool config_templates(struct config_file *f)
{
    f->c->rules.template_count = 0;
    for (;;) {
        if (!config_next(f))
            return false;
        if (f->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (!config_one_template(f))
            return false;
    }
}

static bool config_sequence(struct config_file *f)
{
    char why[CONFIG_WHY_BYTES];
    if (strcmp(f->name, "templates") == 0)
        return config_once(f) && config_templates(f);
    if (strcmp(f->name, "listen") != 0) {
        snprintf(why, sizeof(why), "\"%.100s\" takes one value, not a list", f->name);
        return config_fail(f, f->event.start_mark.line, why);
    }
    if (!config_once(f))
        return false;
    f->c->listen_count = 0;
    for (;;) {
        if (!config_next(f))
            return false;
        if (f->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (f->event.type != YAML_SCALAR_EVENT)
            return config_fail(f, f->event.start_mark.line, "listen: give a list of URLs");
        if (!config_listen(f->c, (const char *)f->event.data.scalar.value, why))
            return config_fail(f, f->event.start_mark.line, why);
    }
}

/* Everything between a mapping's start and its end, mappings inside it included. */
static bool config_mapping(struct config_file *f)
{
    f->stack[f->depth++] = 0;
    while (f->depth) {
        if (!config_next(f))
            return false;
        if (f->event.type == YAML_MAPPING_END_EVENT) {
            f->depth--;
            continue;
        }
        const size_t prefix = f->stack[f->depth - 1];
        if (f->event.type != YAML_SCALAR_EVENT)
            return config_fail(f, f->event.start_mark.line, "expected a key");
        if (!config_push(f, prefix) || !config_next(f))
            return false;
        if (f->event.type == YAML_SCALAR_EVENT) {
            if (!config_scalar(f))
                return false;
        } else if (f->event.type == YAML_SEQUENCE_START_EVENT) {
            if (!config_sequence(f))
                return false;
        } else if (f->event.type != YAML_MAPPING_START_EVENT) {
            return config_fail(f, f->event.start_mark.line, "anchors and aliases are not supported here");
        } else if (f->depth == CONFIG_DEPTH_MAX) {
            return config_fail(f, f->event.start_mark.line, "nested too deeply");
        } else {
            f->stack[f->depth++] = strlen(f->name);
        }
    }
    return true;
}

static bool config_document(struct config_file *f)
{
    for (;;) {
        if (!config_next(f))
            return false;
        if (f->event.type == YAML_STREAM_END_EVENT)
            return true;
        if (f->event.type == YAML_MAPPING_START_EVENT) {
            if (!config_mapping(f))
                return false;
        } else if (f->event.type == YAML_SEQUENCE_START_EVENT ||
                   (f->event.type == YAML_SCALAR_EVENT && f->event.data.scalar.length > 0)) {
            return config_fail(f, f->event.start_mark.line, "expected \"key: value\" lines");
        }
    }
}

bool config_load(struct config *c, const char *path, char *why)
{
    struct config_file f = { .c = c, .path = path, .why = why };
    FILE *in = fopen(path, "re");
    if (!in) {
        snprintf(why, CONFIG_WHY_BYTES, "%.200s: cannot be read: %s", path, strerror(errno));
        return false;
    }
    bool ok = yaml_parser_initialize(&f.parser);
    if (ok) {
        yaml_parser_set_input_file(&f.parser, in);
        ok = config_document(&f);
        yaml_event_delete(&f.event);
        yaml_parser_delete(&f.parser);
    } else {
        snprintf(why, CONFIG_WHY_BYTES, "%.200s: out of memory", path);
    }
    fclose(in);
    return ok;
}
