/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/configs.c: settings of topics, looked at and changed. They carry Kafka's names already; a few more of
 * Kafka's are told that cannot be changed here, because they are always so.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "kafka/admin.h"

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { SOURCE_TOPIC = 1, SOURCE_STATIC_BROKER = 4, SOURCE_DEFAULT = 5 };
enum { TYPE_BOOLEAN = 1, TYPE_STRING = 2, TYPE_INT = 3, TYPE_LONG = 5, TYPE_LIST = 7 };
enum { OP_SET, OP_DELETE, OP_APPEND, OP_SUBTRACT };

static bool bytes_are(struct bytes b, const char *text)
{
    return b.at && b.len == strlen(text) && memcmp(b.at, text, b.len) == 0;
}

/* Settings of Kafka that have one value here. */
static const struct config_fixed {
    const char *name, *value;
    int8_t type;
} CONFIG_FIXED[] = {
    { "compression.type", "producer", TYPE_STRING },
    { "min.insync.replicas", "1", TYPE_INT },
    { "unclean.leader.election.enable", "false", TYPE_BOOLEAN },
    { "preallocate", "false", TYPE_BOOLEAN },
};

/* ---- for a topic ---- */

void kafka_configs_add(struct kafka_configs *c, struct bytes name, struct bytes value)
{
    for (uint32_t i = 0; i < ARRAY_LEN(CONFIG_FIXED); i++) {
        if (!bytes_are(name, CONFIG_FIXED[i].name))
            continue;
        if (value.at && !bytes_are(value, CONFIG_FIXED[i].value))
            c->fixed_wrong = CONFIG_FIXED[i].name;
        return;
    }
    if (c->count == KAFKA_CONFIGS_MAX) {
        c->too_many = true;
        return;
    }
    c->names[c->count] = name;
    c->values[c->count++] = value;
}

static void configs_check(const struct kafka_configs *c, struct topic_settings settings,
                          const struct topic_settings *defaults, struct kafka_refusal *r)
{
    if (c->too_many) {
        r->error = KAFKA_INVALID_REQUEST;
        snprintf(r->why, sizeof(r->why), "more than %d settings", KAFKA_CONFIGS_MAX);
    } else if (c->fixed_wrong) {
        r->error = KAFKA_INVALID_CONFIG;
        snprintf(r->why, sizeof(r->why), "%s has one value only here: leave it out", c->fixed_wrong);
    }
    for (uint32_t i = 0; i < c->count && !r->error; i++) {
        if (!settings_set(&settings, defaults, c->names[i], c->values[i], r->why))
            r->error = KAFKA_INVALID_CONFIG;
    }
}

void kafka_configs_check(struct kafka *kafka, const struct kafka_configs *c, struct kafka_refusal *r)
{
    struct topic_settings defaults;
    (void)kafka;
    settings_init(&defaults);
    configs_check(c, defaults, &defaults, r);
}

/* ---- looking ---- */

static int8_t config_type(enum setting_kind kind)
{
    switch (kind) {
    case SETTING_MS:
    case SETTING_BYTES:
        return TYPE_LONG;
    case SETTING_CLEANUP:
        return TYPE_LIST;
    default:
        return TYPE_STRING;
    }
}

static bool config_set_here(const struct topic *t, uint32_t i)
{
    return t->settings.set >> i & 1;
}

void kafka_configs_put_created(struct kafka_out *out, const struct topic *t)
{
    if (!t) {
        kafka_put_count(out, -1);
        return;
    }
    kafka_put_count(out, (int32_t)settings_count());
    for (uint32_t i = 0; i < settings_count(); i++) {
        char text[SETTINGS_TEXT_BYTES];
        settings_text(&t->settings, i, text);
        kafka_put_text(out, settings_row(i)->name);
        kafka_put_text(out, text);
        kafka_put_bool(out, false);
        kafka_put_i8(out, config_set_here(t, i) ? SOURCE_TOPIC : SOURCE_DEFAULT);
        kafka_put_bool(out, false);
        kafka_put_tags(out);
    }
}

/* What one setting is. */
struct config_row {
    const char *name, *value, *help;
    bool read_only;
    int8_t source, type;
};

/* The names that were asked for; count -1: all. */
struct config_asked {
    struct kafka_in names;
    int32_t count;
};

static bool config_asked(const struct config_asked *asked, const char *name)
{
    struct kafka_in in = asked->names;
    for (int32_t i = 0; i < asked->count; i++) {
        if (bytes_are(kafka_get_string(&in), name))
            return true;
    }
    return asked->count < 0;
}

static uint32_t config_put(struct kafka_out *out, const struct config_asked *asked,
                           const struct config_row *row)
{
    if (!config_asked(asked, row->name))
        return 0;
    kafka_put_text(out, row->name);
    kafka_put_text(out, row->value);
    kafka_put_bool(out, row->read_only);
    if (out->version == 0)
        kafka_put_bool(out, row->source != SOURCE_TOPIC);
    else
        kafka_put_i8(out, row->source);
    kafka_put_bool(out, false); /* sensitive */
    if (out->version >= 1)
        kafka_put_count(out, 0); /* synonyms */
    if (out->version >= 3) {
        kafka_put_i8(out, row->type);
        kafka_put_text(out, row->help);
    }
    kafka_put_tags(out);
    return 1;
}

static uint32_t config_put_topic(struct kafka_out *out, const struct config_asked *asked,
                                 const struct topic *t)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < settings_count(); i++) {
        const struct setting *setting = settings_row(i);
        char text[SETTINGS_TEXT_BYTES];
        settings_text(&t->settings, i, text);
        const struct config_row row = { setting->name,
                                        text,
                                        setting->help,
                                        false,
                                        config_set_here(t, i) ? SOURCE_TOPIC : SOURCE_DEFAULT,
                                        config_type(setting->kind) };
        count += config_put(out, asked, &row);
    }
    for (uint32_t i = 0; i < ARRAY_LEN(CONFIG_FIXED); i++) {
        const struct config_fixed *fixed = &CONFIG_FIXED[i];
        const struct config_row row = { fixed->name, fixed->value,   "always so",
                                        true,        SOURCE_DEFAULT, fixed->type };
        count += config_put(out, asked, &row);
    }
    return count;
}

static uint32_t config_put_broker(const struct kafka *kafka, struct kafka_out *out,
                                  const struct config_asked *asked)
{
    char bytes[32], node[16];
    snprintf(bytes, sizeof(bytes), "%u", kafka->options.produce_bytes_max);
    snprintf(node, sizeof(node), "%d", KAFKA_NODE);
    const struct config_row rows[] = {
        { "broker.id", node, "the only node", true, SOURCE_STATIC_BROKER, TYPE_INT },
        { "auto.create.topics.enable", kafka->options.auto_create ? "true" : "false", "kafka.auto.create",
          true, SOURCE_STATIC_BROKER, TYPE_BOOLEAN },
        { "message.max.bytes", bytes, "frame.bytes.max", true, SOURCE_STATIC_BROKER, TYPE_INT },
        { "default.replication.factor", "1", "always so", true, SOURCE_DEFAULT, TYPE_INT },
    };
    uint32_t count = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(rows); i++)
        count += config_put(out, asked, &rows[i]);
    return count;
}

static bool config_is_this_node(struct bytes name)
{
    char node[16];
    snprintf(node, sizeof(node), "%d", KAFKA_NODE);
    return bytes_are(name, node);
}

static void config_describe(struct kafka_session *s, struct kafka_out *out, struct kafka_in *in)
{
    struct kafka_refusal r = { KAFKA_OK, "" };
    const int8_t type = kafka_get_i8(in);
    const struct bytes name = kafka_get_string(in);
    struct config_asked asked;
    asked.count = kafka_get_count(in);
    asked.names = *in;
    for (int32_t i = 0; i < asked.count; i++)
        (void)kafka_get_string(in);
    kafka_get_tags(in);
    const struct topic *t = type == RESOURCE_TOPIC ? kafka_admin_topic(s, name, &r) : NULL;
    if (type != RESOURCE_TOPIC && (type != RESOURCE_BROKER || !config_is_this_node(name))) {
        r.error = KAFKA_INVALID_REQUEST;
        snprintf(r.why, sizeof(r.why), "topics have settings, and the broker, whose name is 1");
    }
    kafka_put_i16(out, r.error);
    kafka_put_string(out, r.error ? bytes_of(r.why) : (struct bytes){ 0 });
    kafka_put_i8(out, type);
    kafka_put_string(out, name);
    uint32_t count = 0;
    const uint32_t mark = kafka_put_count_later(out, 256);
    if (!r.error)
        count = t ? config_put_topic(out, &asked, t) : config_put_broker(s->kafka, out, &asked);
    kafka_put_count_at(out, mark, count);
    kafka_put_tags(out);
    s->kafka->stats.errors += r.error != KAFKA_OK;
}

enum net_take kafka_describe_configs(struct kafka_session *s, const struct kafka_request *rq)
{
    struct kafka_in in = rq->in;
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i32(out, 0); /* throttle time */
    const int32_t count = kafka_get_count(&in);
    kafka_put_count(out, count);
    for (int32_t i = 0; i < count && !out->bad; i++)
        config_describe(s, out, &in);
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, 0);
}

/* ---- changing ---- */

struct alter_row {
    int8_t type;
    struct bytes name;
    bool bad_op;
    struct kafka_configs configs;
};

static void alter_row(struct kafka_in *in, bool incremental, struct alter_row *row)
{
    row->type = kafka_get_i8(in);
    row->name = kafka_get_string(in);
    row->bad_op = false;
    row->configs = (struct kafka_configs){ 0 };
    for (int32_t count = kafka_get_count(in); count; count--) {
        const struct bytes name = kafka_get_string(in);
        const int8_t op = incremental ? kafka_get_i8(in) : OP_SET;
        struct bytes value = kafka_get_string(in);
        kafka_get_tags(in);
        if (op == OP_DELETE)
            value = (struct bytes){ 0 };
        row->bad_op = row->bad_op || op < OP_SET || op > OP_DELETE; /* lists have one element here */
        kafka_configs_add(&row->configs, name, value);
    }
    kafka_get_tags(in);
}

/* What the request does not name goes back to its default. */
static void alter_rest(struct kafka_configs *c)
{
    const uint32_t named = c->count;
    for (uint32_t i = 0; i < settings_count(); i++) {
        bool found = false;
        for (uint32_t k = 0; k < named; k++)
            found = found || bytes_are(c->names[k], settings_row(i)->name);
        if (!found)
            kafka_configs_add(c, bytes_of(settings_row(i)->name), (struct bytes){ 0 });
    }
}

static void alter_one(struct kafka_session *s, struct alter_row *row, bool incremental, bool validate_only,
                      struct kafka_refusal *r)
{
    if (r->error)
        return;
    if (row->type != RESOURCE_TOPIC || row->bad_op) {
        r->error = KAFKA_INVALID_REQUEST;
        snprintf(r->why, sizeof(r->why),
                 "settings of topics can be set and deleted; the broker's are in its file");
        return;
    }
    struct topic *t = kafka_admin_topic(s, row->name, r);
    if (!t)
        return;
    if (!incremental)
        alter_rest(&row->configs);
    configs_check(&row->configs, t->settings, &t->settings, r);
    if (!r->error && !validate_only && row->configs.count)
        kafka_admin_done(s,
                         catalog_set(s->kafka->store, t, row->configs.names, row->configs.values,
                                     row->configs.count, r->why),
                         r);
}

static enum net_take alter(struct kafka_session *s, const struct kafka_request *rq, bool incremental)
{
    struct kafka_in in = rq->in, last = rq->in;
    struct kafka_refusal all;
    struct alter_row row;
    const int32_t count = kafka_get_count(&in);
    (void)kafka_get_count(&last);
    for (int32_t i = 0; i < count; i++)
        alter_row(&last, incremental, &row);
    const bool validate_only = kafka_get_bool(&last);
    if (!kafka_admin_room(s, (uint32_t)count, &all))
        return kafka_park(s);
    struct kafka_out *out = kafka_reply_begin(s, rq);
    kafka_put_i32(out, 0); /* throttle time */
    kafka_put_count(out, count);
    for (int32_t i = 0; i < count; i++) {
        struct kafka_refusal r = all;
        alter_row(&in, incremental, &row);
        alter_one(s, &row, incremental, validate_only, &r);
        kafka_put_i16(out, r.error);
        kafka_put_string(out, r.error ? bytes_of(r.why) : (struct bytes){ 0 });
        kafka_put_i8(out, row.type);
        kafka_put_string(out, row.name);
        kafka_put_tags(out);
        s->kafka->stats.errors += r.error != KAFKA_OK;
    }
    kafka_put_tags(out);
    return kafka_reply_end(s, rq, s->changed);
}

enum net_take kafka_alter_configs(struct kafka_session *s, const struct kafka_request *rq)
{
    return alter(s, rq, false);
}

enum net_take kafka_alter_configs_incrementally(struct kafka_session *s, const struct kafka_request *rq)
{
    return alter(s, rq, true);
}
