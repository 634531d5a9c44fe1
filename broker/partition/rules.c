/* SPDX-License-Identifier: Apache-2.0 */
#include "partition/rules.h"

#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "proto/name.h"

enum naming rules_naming(const struct topic_rules *rules, struct bytes name)
{
    const uint8_t *dot = memchr(name.at, '.', name.len);
    const uint32_t len = dot ? (uint32_t)(dot - name.at) : name.len;
    for (uint32_t i = 0; i < rules->namespace_count; i++) {
        const char *namespace = rules->namespaces[i].name;
        if (strlen(namespace) == len && memcmp(namespace, name.at, len) == 0)
            return rules->namespaces[i].naming;
    }
    return rules->naming;
}

enum error rules_name(const struct topic_rules *rules, struct bytes name, char *why)
{
    char fault[NAME_WHY_BYTES];
    const enum naming naming = rules ? rules_naming(rules, name) : NAMING_OFF;
    if (naming == NAMING_OFF || name_follows_policy(name, fault))
        return ERR_OK;
    if (naming == NAMING_STRICT) {
        snprintf(why, 256, "the naming policy refuses %.*s: %s", (int)(name.len < 100 ? name.len : 100),
                 (const char *)name.at, fault);
        return ERR_NAME_REFUSED;
    }
    char topic[TOPIC_NAME_MAX + 1];
    snprintf(topic, sizeof(topic), "%.*s", (int)name.len, (const char *)name.at);
    diag(DIAG_WARN, "partition", "a new topic's name does not follow the naming policy",
         DIAG_KS("topic", topic), DIAG_KS("fault", fault));
    return ERR_OK;
}

const struct topic_template *rules_template(const struct topic_rules *rules, struct bytes name)
{
    for (uint32_t i = 0; rules && i < rules->template_count; i++)
        if (name_matches(bytes_of(rules->templates[i].match), name))
            return &rules->templates[i];
    return NULL;
}

void rules_apply(const struct topic_template *t, struct topic_settings *settings)
{
    char value[SETTINGS_TEXT_BYTES], why[256];
    for (uint32_t i = 0; i < settings_count(); i++) {
        if (!(t->settings.set >> i & 1))
            continue;
        settings_text(&t->settings, i, value);
        settings_set(settings, settings, bytes_of(settings_row(i)->name), bytes_of(value), why);
    }
}
