/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/config_rules.c: what the configuration says of topics that are yet to be made: `naming.policy` and
 * `templates`.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

static bool naming_parse(const char *text, size_t len, enum naming *out)
{
    static const char *const names[] = {
        [NAMING_OFF] = "off", [NAMING_WARN] = "warn", [NAMING_STRICT] = "strict"
    };
    for (int i = 0; i < 3; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0) {
            *out = (enum naming)i;
            return true;
        }
    }
    return false;
}

static bool naming_wrong(const char *word, size_t len, char *why)
{
    snprintf(
        why, CONFIG_WHY_BYTES,
        "naming.policy: '%.*s' is not possible: write off, warn or strict, and NAMESPACE=MODE for namespaces "
        "that differ, with commas between",
        (int)(len < 64 ? len : 64), word);
    return false;
}

bool config_set_naming(struct config *c, const char *value, char *why)
{
    struct topic_rules *rules = &c->rules;
    rules->naming = NAMING_WARN;
    rules->namespace_count = 0;
    for (;;) {
        value += strspn(value, ", \t");
        const size_t len = strcspn(value, ", \t");
        if (len == 0)
            return true;
        const char *equals = memchr(value, '=', len);
        enum naming naming;
        const char *mode = equals ? equals + 1 : value;
        if (!naming_parse(mode, len - (size_t)(mode - value), &naming))
            return naming_wrong(value, len, why);
        if (!equals) {
            rules->naming = naming;
        } else {
            const size_t name_len = (size_t)(equals - value);
            if (name_len == 0 || name_len >= RULES_PATTERN_BYTES ||
                rules->namespace_count == RULES_NAMESPACES_MAX)
                return naming_wrong(value, len, why);
            memcpy(rules->namespaces[rules->namespace_count].name, value, name_len);
            rules->namespaces[rules->namespace_count].name[name_len] = '\0';
            rules->namespaces[rules->namespace_count++].naming = naming;
        }
        value += len;
    }
}

bool config_template(struct config *c, char *why)
{
    if (c->rules.template_count == RULES_TEMPLATES_MAX) {
        snprintf(why, CONFIG_WHY_BYTES, "templates: more than %d: let patterns match more",
                 RULES_TEMPLATES_MAX);
        return false;
    }
    struct topic_template *t = &c->rules.templates[c->rules.template_count++];
    *t = (struct topic_template){ 0 };
    settings_init(&t->settings);
    return true;
}

bool config_template_set(struct config *c, const char *name, const char *value, char *why)
{
    struct topic_template *t = &c->rules.templates[c->rules.template_count - 1];
    if (strcmp(name, "match") == 0) {
        if (!*value || strlen(value) >= sizeof(t->match)) {
            snprintf(why, CONFIG_WHY_BYTES, "match is a pattern of 1 to %d letters", RULES_PATTERN_BYTES - 1);
            return false;
        }
        snprintf(t->match, sizeof(t->match), "%s", value);
        return true;
    }
    if (strcmp(name, "partitions") == 0) {
        char *end;
        const unsigned long n = strtoul(value, &end, 10);
        if (*end || n == 0 || n > 1024) {
            snprintf(why, CONFIG_WHY_BYTES, "partitions: '%.40s' is not possible: give 1 to 1024", value);
            return false;
        }
        t->partitions = (uint32_t)n;
        return true;
    }
    char text[256];
    struct topic_settings defaults;
    settings_init(&defaults);
    if (settings_set(&t->settings, &defaults, bytes_of(name), bytes_of(value), text))
        return true;
    snprintf(why, CONFIG_WHY_BYTES, "a template has match, partitions and settings of topics: %s", text);
    return false;
}

bool config_template_done(const struct config *c, char *why)
{
    if (c->rules.templates[c->rules.template_count - 1].match[0])
        return true;
    snprintf(why, CONFIG_WHY_BYTES, "a template needs `match`: a pattern like \"*.audit.*\"");
    return false;
}
