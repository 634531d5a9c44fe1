/* SPDX-License-Identifier: Apache-2.0
 *
 * partition/rules.h: what holds for topics that are yet to be made: which names they may have, and what they
 * get by their names. The configuration says so (naming.policy, templates).
 */
#ifndef RUNNEL_PARTITION_RULES_H
#define RUNNEL_PARTITION_RULES_H

#include "partition/settings.h"
#include "proto/errors.h"

enum naming { NAMING_OFF, NAMING_WARN, NAMING_STRICT };

enum {
    RULES_NAMESPACES_MAX = 32, /* a line of configuration each; looked through once per new topic */
    RULES_TEMPLATES_MAX = 64,
    RULES_PATTERN_BYTES = 128,
};

struct topic_template {
    char match[RULES_PATTERN_BYTES]; /* '*', '?' */
    uint32_t partitions;             /* 0: as any topic */
    struct topic_settings settings;  /* those in `set` */
};

struct topic_rules {
    enum naming naming; /* of namespaces that are not named */
    struct {
        char name[RULES_PATTERN_BYTES];
        enum naming naming;
    } namespaces[RULES_NAMESPACES_MAX];
    uint32_t namespace_count;
    struct topic_template templates[RULES_TEMPLATES_MAX];
    uint32_t template_count;
};

/* What the policy says of a name: its own namespace's, or the general one. */
enum naming rules_naming(const struct topic_rules *rules, struct bytes name);
/* ERR_OK, or ERR_NAME_REFUSED with a sentence in `why` (256 bytes); a name that is only frowned upon is told
 * the operator. `rules` NULL: everything goes. */
enum error rules_name(const struct topic_rules *rules, struct bytes name, char *why);
/* The first template whose pattern the name matches, or NULL. */
const struct topic_template *rules_template(const struct topic_rules *rules, struct bytes name);
/* Puts a template's settings over `settings`. */
void rules_apply(const struct topic_template *t, struct topic_settings *settings);

#endif
