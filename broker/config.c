/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/config.c: the table of keys: setting, range checks, environment, relations.
 */
#include "config.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static const struct config_key CONFIG_TABLE[] = {
#define X(field, name, kind, min, max, initial, reloads, choices, help)                                      \
    { name, kind, min, max, initial, reloads, choices, help, offsetof(struct config, field) },
    CONFIG_KEYS(X)
#undef X
};

#define CONFIG_TOPIC "topic."

uint32_t config_key_count(void)
{
    return ARRAY_LEN(CONFIG_TABLE);
}

const struct config_key *config_key_row(uint32_t i)
{
    CHECK(i < ARRAY_LEN(CONFIG_TABLE));
    return &CONFIG_TABLE[i];
}

static int64_t *config_field(struct config *c, const struct config_key *key)
{
    return (int64_t *)(void *)((char *)c + key->offset);
}

int64_t config_value(const struct config *c, const struct config_key *key)
{
    return *(const int64_t *)(const void *)((const char *)c + key->offset);
}

void config_init(struct config *c)
{
    *c = (struct config){ 0 };
    for (uint32_t i = 0; i < ARRAY_LEN(CONFIG_TABLE); i++)
        *config_field(c, &CONFIG_TABLE[i]) = CONFIG_TABLE[i].initial;
    settings_init(&c->topic_defaults);
    c->rules.naming = NAMING_WARN;
}

/* ---- names ---- */

/* Edit distance, bounded: names longer than the row are not close to anything. */
static uint32_t config_distance(const char *a, const char *b)
{
    uint32_t row[2 * CONFIG_NAME_BYTES + 1];
    const size_t a_len = strlen(a), b_len = strlen(b);
    if (b_len > 2 * CONFIG_NAME_BYTES)
        return UINT32_MAX;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (uint32_t)j;
    for (size_t i = 1; i <= a_len; i++) {
        uint32_t diagonal = row[0];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= b_len; j++) {
            const uint32_t above = row[j];
            uint32_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[b_len];
}

struct config_nearest {
    const char *wanted;
    char name[2 * CONFIG_NAME_BYTES];
    uint32_t distance;
};

static void config_nearer(struct config_nearest *n, const char *prefix, const char *name)
{
    char full[2 * CONFIG_NAME_BYTES];
    snprintf(full, sizeof(full), "%s%s", prefix, name);
    const uint32_t distance = config_distance(n->wanted, full);
    if (distance < n->distance) {
        n->distance = distance;
        memcpy(n->name, full, sizeof(full));
    }
}

static void config_unknown(const char *name, char *why)
{
    struct config_nearest n = { .wanted = name, .distance = UINT32_MAX };
    config_nearer(&n, "", "data.dir");
    config_nearer(&n, "", "listen");
    config_nearer(&n, "", "naming.policy");
    config_nearer(&n, "", "templates");
    for (uint32_t i = 0; i < ARRAY_LEN(CONFIG_TABLE); i++)
        config_nearer(&n, "", CONFIG_TABLE[i].name);
    for (uint32_t i = 0; i < settings_count(); i++)
        config_nearer(&n, CONFIG_TOPIC, settings_row(i)->name);
    snprintf(why, CONFIG_WHY_BYTES, "unknown key \"%.100s\": did you mean \"%s\"?", name, n.name);
}

static const struct config_key *config_find(const char *name)
{
    for (uint32_t i = 0; i < ARRAY_LEN(CONFIG_TABLE); i++) {
        if (strcmp(CONFIG_TABLE[i].name, name) == 0)
            return &CONFIG_TABLE[i];
    }
    return NULL;
}

static bool config_is_topic_setting(const char *name)
{
    if (strncmp(name, CONFIG_TOPIC, strlen(CONFIG_TOPIC)) != 0)
        return false;
    for (uint32_t i = 0; i < settings_count(); i++) {
        if (strcmp(settings_row(i)->name, name + strlen(CONFIG_TOPIC)) == 0)
            return true;
    }
    return false;
}

/* ---- values ---- */

static bool config_parse_choice(const char *choices, const char *value, int64_t *out)
{
    const size_t len = strlen(value);
    int64_t i = 0;
    for (const char *p = choices; p; i++) {
        const char *bar = strchr(p, '|');
        const size_t n = bar ? (size_t)(bar - p) : strlen(p);
        if (n == len && strncmp(p, value, n) == 0) {
            *out = i;
            return true;
        }
        p = bar ? bar + 1 : NULL;
    }
    return false;
}

static bool config_parse_count(const char *value, int64_t *out)
{
    if (!isdigit((unsigned char)value[0]) || strlen(value) > 18)
        return false;
    char *end;
    *out = strtoll(value, &end, 10);
    return *end == '\0';
}

static bool config_parse(const struct config_key *key, const char *value, int64_t *out)
{
    switch (key->kind) {
    case CONFIG_BYTES:
        return parse_bytes(bytes_of(value), out);
    case CONFIG_MS:
        return parse_ms(bytes_of(value), out);
    case CONFIG_COUNT:
    case CONFIG_US:
        return config_parse_count(value, out);
    case CONFIG_BOOL:
        *out = strcmp(value, "true") == 0 || strcmp(value, "yes") == 0 || strcmp(value, "1") == 0;
        return *out || strcmp(value, "false") == 0 || strcmp(value, "no") == 0 || strcmp(value, "0") == 0;
    case CONFIG_CHOICE:
        return config_parse_choice(key->choices, value, out);
    }
    UNREACHABLE();
}

static const char *config_expects(const struct config_key *key)
{
    switch (key->kind) {
    case CONFIG_BYTES:
        return "a size such as 65536, 64KiB or 1GiB";
    case CONFIG_MS:
        return "a time such as 500ms, 10s or 7d";
    case CONFIG_COUNT:
        return "a whole number";
    case CONFIG_US:
        return "a whole number of microseconds";
    case CONFIG_BOOL:
        return "true or false";
    case CONFIG_CHOICE:
        return key->choices;
    }
    UNREACHABLE();
}

void config_text(const struct config_key *key, int64_t value, char *out, size_t bytes)
{
    static const struct {
        enum config_kind kind;
        int64_t unit;
        const char *text;
    } UNITS[] = { { CONFIG_BYTES, GIB, "GiB" }, { CONFIG_BYTES, MIB, "MiB" }, { CONFIG_BYTES, KIB, "KiB" },
                  { CONFIG_MS, 86400000, "d" }, { CONFIG_MS, 3600000, "h" },  { CONFIG_MS, 60000, "m" },
                  { CONFIG_MS, 1000, "s" },     { CONFIG_MS, 1, "ms" } };
    if (key->kind == CONFIG_BOOL) {
        snprintf(out, bytes, "%s", value ? "true" : "false");
        return;
    }
    if (key->kind == CONFIG_CHOICE) {
        const char *p = key->choices;
        for (int64_t i = 0; i < value; i++)
            p = strchr(p, '|') + 1;
        snprintf(out, bytes, "%.*s", (int)strcspn(p, "|"), p);
        return;
    }
    for (size_t i = 0; value > 0 && i < ARRAY_LEN(UNITS); i++) {
        if (UNITS[i].kind == key->kind && value % UNITS[i].unit == 0) {
            snprintf(out, bytes, "%lld%s", (long long)(value / UNITS[i].unit), UNITS[i].text);
            return;
        }
    }
    snprintf(out, bytes, "%lld", (long long)value);
}

static bool config_set_key(struct config *c, const struct config_key *key, const char *value, char *why)
{
    int64_t number;
    if (!config_parse(key, value, &number)) {
        snprintf(why, CONFIG_WHY_BYTES, "%s: \"%.100s\" cannot be read: give %s", key->name, value,
                 config_expects(key));
        return false;
    }
    if (number < key->min || number > key->max) {
        char low[32], high[32];
        config_text(key, key->min, low, sizeof(low));
        config_text(key, key->max, high, sizeof(high));
        snprintf(why, CONFIG_WHY_BYTES, "%s: %.100s is out of range: give %s to %s", key->name, value, low,
                 high);
        return false;
    }
    *config_field(c, key) = number;
    return true;
}

bool config_listen(struct config *c, const char *url, char *why)
{
    if (c->listen_count == CONFIG_LISTEN_MAX) {
        snprintf(why, CONFIG_WHY_BYTES, "listen: more than %d listeners: remove some", CONFIG_LISTEN_MAX);
        return false;
    }
    const size_t len = strlen(url);
    if (len == 0 || len >= CONFIG_URL_BYTES) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "listen: \"%.60s\" is %s: write tcp://HOST:PORT, unix:PATH or kafka://HOST:PORT", url,
                 len ? "too long" : "empty");
        return false;
    }
    memcpy(c->listen[c->listen_count++], url, len + 1);
    return true;
}

/* "URL, URL ...": how a list is written in one string. */
static bool config_set_listen(struct config *c, const char *value, char *why)
{
    c->listen_count = 0;
    while (*value) {
        value += strspn(value, ", \t");
        const size_t len = strcspn(value, ", \t");
        char url[CONFIG_URL_BYTES + 1];
        if (len == 0)
            break;
        snprintf(url, sizeof(url), "%.*s", (int)(len < sizeof(url) ? len : sizeof(url) - 1), value);
        if (!config_listen(c, url, why))
            return false;
        value += len;
    }
    return true;
}

bool config_set(struct config *c, const char *name, const char *value, char *why)
{
    if (strcmp(name, "data.dir") == 0) {
        if (value[0] == '\0' || strlen(value) >= CONFIG_PATH_BYTES) {
            snprintf(why, CONFIG_WHY_BYTES, "data.dir: the path is %s", value[0] ? "too long" : "empty");
            return false;
        }
        snprintf(c->data_dir, sizeof(c->data_dir), "%s", value);
        return true;
    }
    if (strcmp(name, "listen") == 0)
        return config_set_listen(c, value, why);
    if (strcmp(name, "naming.policy") == 0)
        return config_set_naming(c, value, why);
    const struct config_key *key = config_find(name);
    if (key)
        return config_set_key(c, key, value, why);
    if (!config_is_topic_setting(name)) {
        config_unknown(name, why);
        return false;
    }
    char text[256];
    struct topic_settings defaults;
    settings_init(&defaults);
    if (settings_set(&c->topic_defaults, &defaults, bytes_of(name + strlen(CONFIG_TOPIC)), bytes_of(value),
                     text))
        return true;
    snprintf(why, CONFIG_WHY_BYTES, "%s: %s", name, text);
    return false;
}

/* ---- environment ---- */

/* "journal.files.max" -> "RUNNEL_JOURNAL_FILES_MAX" */
static void config_variable(const char *prefix, const char *name, char *out, size_t bytes)
{
    const int len = snprintf(out, bytes, "RUNNEL_%s%s", prefix, name);
    for (int i = 0; i < len && (size_t)i < bytes; i++)
        out[i] = out[i] == '.' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* The key that a variable names, into `name`; false when none. */
static bool config_variable_key(const char *variable, char *name, size_t bytes)
{
    char candidate[2 * CONFIG_NAME_BYTES];
    for (uint32_t i = 0; i < ARRAY_LEN(CONFIG_TABLE); i++) {
        config_variable("", CONFIG_TABLE[i].name, candidate, sizeof(candidate));
        if (strcmp(candidate, variable) == 0) {
            snprintf(name, bytes, "%s", CONFIG_TABLE[i].name);
            return true;
        }
    }
    for (uint32_t i = 0; i < settings_count(); i++) {
        config_variable(CONFIG_TOPIC, settings_row(i)->name, candidate, sizeof(candidate));
        if (strcmp(candidate, variable) == 0) {
            snprintf(name, bytes, CONFIG_TOPIC "%s", settings_row(i)->name);
            return true;
        }
    }
    static const char *const others[] = { "data.dir", "listen", "naming.policy" };
    for (uint32_t i = 0; i < ARRAY_LEN(others); i++) {
        config_variable("", others[i], candidate, sizeof(candidate));
        snprintf(name, bytes, "%s", others[i]);
        if (strcmp(candidate, variable) == 0)
            return true;
    }
    return false;
}

/* Does a variable start with "RUNNEL_" and the first word of one of our dotted keys? */
static bool config_variable_ours(const char *variable)
{
    for (uint32_t i = 0; i < ARRAY_LEN(CONFIG_TABLE); i++) {
        char section[CONFIG_NAME_BYTES];
        const size_t len = strcspn(CONFIG_TABLE[i].name, ".");
        if (CONFIG_TABLE[i].name[len] == '\0')
            continue;
        snprintf(section, sizeof(section), "%.*s.", (int)len, CONFIG_TABLE[i].name);
        char prefix[2 * CONFIG_NAME_BYTES];
        config_variable("", section, prefix, sizeof(prefix));
        if (strncmp(variable, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

static bool config_environment_one(struct config *c, const char *entry, char *why)
{
    const char *equals = strchr(entry, '=');
    char variable[2 * CONFIG_NAME_BYTES], name[2 * CONFIG_NAME_BYTES], text[CONFIG_WHY_BYTES];
    if (!equals || (size_t)(equals - entry) >= sizeof(variable))
        return true;
    snprintf(variable, sizeof(variable), "%.*s", (int)(equals - entry), entry);
    if (config_variable_key(variable, name, sizeof(name))) {
        if (config_set(c, name, equals + 1, text))
            return true;
        snprintf(why, CONFIG_WHY_BYTES, "environment %s: %.360s", variable, text);
        return false;
    }
    if (!config_variable_ours(variable))
        return true;
    /* Names are judged as keys: underscores read as dots. */
    for (size_t i = strlen("RUNNEL_"), j = 0;; i++, j++) {
        name[j] = variable[i] == '_' ? '.' : (char)tolower((unsigned char)variable[i]);
        if (variable[i] == '\0')
            break;
    }
    config_unknown(name, text);
    snprintf(why, CONFIG_WHY_BYTES, "environment %s: %.360s", variable, text);
    return false;
}

bool config_environment(struct config *c, char *const *environment, char *why)
{
    for (; *environment; environment++) {
        if (strncmp(*environment, "RUNNEL_", strlen("RUNNEL_")) == 0 &&
            !config_environment_one(c, *environment, why))
            return false;
    }
    return true;
}

void config_keep_fixed(struct config *next, const struct config *now)
{
    memcpy(next->data_dir, now->data_dir, sizeof(next->data_dir));
    memcpy(next->listen, now->listen, sizeof(next->listen));
    next->listen_count = now->listen_count;
    for (uint32_t i = 0; i < ARRAY_LEN(CONFIG_TABLE); i++) {
        if (!CONFIG_TABLE[i].reloads)
            *config_field(next, &CONFIG_TABLE[i]) = config_value(now, &CONFIG_TABLE[i]);
    }
}

/* ---- relations ---- */

bool config_check(const struct config *c, char *why)
{
    if (c->data_dir[0] == '\0') {
        snprintf(why, CONFIG_WHY_BYTES, "data.dir is not set: say where the broker keeps its data");
        return false;
    }
    /* A stored batch must fit one DELIVER or FETCH reply, whatever its headers. */
    if (c->frame_bytes_max < c->batch_bytes_max + 64 * KIB) {
        snprintf(
            why, CONFIG_WHY_BYTES,
            "frame.bytes.max must be at least batch.bytes.max and 64 KiB more: raise one or lower the other");
        return false;
    }
    if (c->topic_defaults.max_message_bytes > c->batch_bytes_max) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "topic.max.message.bytes exceeds batch.bytes.max: raise batch.bytes.max");
        return false;
    }
    if (c->connection_inflight_bytes < c->frame_bytes_max) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "connection.inflight.bytes is smaller than frame.bytes.max: one request would never fit");
        return false;
    }
    if (c->inflight_bytes_max < c->frame_bytes_max || c->input_bytes_max < c->frame_bytes_max) {
        snprintf(why, CONFIG_WHY_BYTES, "%s is smaller than frame.bytes.max: one request would never fit",
                 c->inflight_bytes_max < c->frame_bytes_max ? "inflight.bytes.max" : "input.bytes.max");
        return false;
    }
    if (c->input_bytes_max < c->kafka_request_bytes_max) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "input.bytes.max is smaller than kafka.request.bytes.max: one request would never fit");
        return false;
    }
    if (c->topic_partitions_default > c->topic_partitions_max) {
        snprintf(why, CONFIG_WHY_BYTES, "topic.partitions.default exceeds topic.partitions.max: lower it");
        return false;
    }
    if (c->recv_buffers & (c->recv_buffers - 1)) {
        snprintf(why, CONFIG_WHY_BYTES, "recv.buffers must be a power of two: 32, 64, 128 ...");
        return false;
    }
    /* A commit is never larger than a quarter of a file: the files hold several groups each. */
    if (c->journal_file_bytes < 4 * c->frame_bytes_max) {
        snprintf(
            why, CONFIG_WHY_BYTES,
            "journal.file.bytes must be at least four times frame.bytes.max: a file holds several commits");
        return false;
    }
    if (c->history_bytes < c->batch_bytes_max) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "history.bytes is smaller than batch.bytes.max: one batch would not fit");
        return false;
    }
    return true;
}
