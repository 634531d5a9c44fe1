/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/context.c: a publishing context's life and fields.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "client/client.h"
#include "client/envelope/envelope.h"

/* ---- values ---- */

struct bytes envelope_value(const struct runnel_envelope *e, enum envelope_field field)
{
    for (int layer = 0; layer < ENVELOPE_LAYERS; layer++) {
        const struct envelope_value *v = &e->values[layer][field];
        if (v->len)
            return (struct bytes){ (const uint8_t *)v->text, v->len };
    }
    return (struct bytes){ NULL, 0 };
}

static void store(struct runnel_envelope *e, enum envelope_layer layer, enum envelope_field field,
                  struct bytes value)
{
    struct envelope_value *v = &e->values[layer][field];
    if (v->len == value.len && (value.len == 0 || memcmp(v->text, value.at, value.len) == 0))
        return;
    v->len = (uint16_t)value.len;
    if (value.len)
        memcpy(v->text, value.at, value.len);
    e->rendered = false;
}

int envelope_put(struct runnel_envelope *e, enum envelope_layer layer, enum envelope_field field,
                 struct bytes value)
{
    const char *must = value.at ? envelope_misfit(field, value) : NULL;
    if (must)
        return client_error(NULL, ERR_ENVELOPE_INVALID, "%s must be %s", envelope_name(field), must);
    store(e, layer, field, value);
    return 0;
}

void envelope_layer_clear(struct runnel_envelope *e, enum envelope_layer layer)
{
    for (int field = 0; field < ENVELOPE_FIELDS; field++)
        store(e, layer, (enum envelope_field)field, (struct bytes){ NULL, 0 });
}

/* ---- source: "/service/instance", a URI reference ---- */

static bool unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~' || c == ':' || c == '@';
}

static uint32_t escape(char *out, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *p = out;
    for (const uint8_t *c = (const uint8_t *)text; *c; c++) {
        if (unreserved(*c)) {
            *p++ = (char)*c;
        } else {
            *p++ = '%';
            *p++ = hex[*c >> 4];
            *p++ = hex[*c & 15];
        }
    }
    return (uint32_t)(p - out);
}

static uint32_t make_source(char out[ENVELOPE_VALUE_BYTES], const char *service, const char *instance)
{
    uint32_t len = 1 + escape(out + 1, service);
    out[0] = '/';
    if (*instance) {
        out[len++] = '/';
        len += escape(out + len, instance);
    }
    return len;
}

/* Both parts, escaped three times as long, fit a value. */
enum { SOURCE_PART_MAX = (ENVELOPE_TEXT_BYTES - 2) / 6 };

int envelope_set_source(struct runnel_envelope *e, enum envelope_layer layer, const char *service,
                        const char *instance)
{
    char text[ENVELOPE_VALUE_BYTES];
    if (!*service || strlen(service) > SOURCE_PART_MAX || strlen(instance) > SOURCE_PART_MAX)
        return client_error(NULL, ERR_ENVELOPE_INVALID,
                            "service must be, and instance_id may be, a text of 1 to %d bytes",
                            SOURCE_PART_MAX);
    const uint32_t len = make_source(text, service, instance);
    return envelope_put(e, layer, ENVELOPE_SOURCE, (struct bytes){ (const uint8_t *)text, len });
}

static int set_source_part(struct runnel_envelope *e, bool is_service, const char *value)
{
    char *part = is_service ? e->service : e->instance, before[sizeof(e->service)];
    snprintf(before, sizeof(before), "%s", part);
    snprintf(part, sizeof(e->service), "%s", value ? value : "");
    const int rc = envelope_set_source(e, LAYER_OWN, e->service, e->instance);
    if (rc)
        memcpy(part, before, sizeof(before));
    e->rendered = false;
    return rc;
}

/* ---- what the environment says ---- */

static const char *environment(const char *name, const char *or_name)
{
    const char *value = getenv(name);
    if ((!value || !*value) && or_name)
        value = getenv(or_name);
    return value && *value ? value : NULL;
}

/* What does not have a field's form is left out: it was not put there for us. */
static void take(struct runnel_envelope *e, enum envelope_layer layer, enum envelope_field field,
                 const char *value)
{
    if (value && *value && !envelope_misfit(field, bytes_of(value)))
        store(e, layer, field, bytes_of(value));
}

static void take_source(struct runnel_envelope *e)
{
    char host[256] = "", node[UUID_TEXT + 1];
    const char *service = environment("RUNNEL_SERVICE", "SERVICE_NAME");
    const char *instance = environment("RUNNEL_INSTANCE", NULL), *id = environment("RUNNEL_NODE_ID", NULL);
    if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
        snprintf(host, sizeof(host), "localhost");
    snprintf(e->service, SOURCE_PART_MAX + 1, "%s", service ? service : program_invocation_short_name);
    if (!*e->service)
        snprintf(e->service, sizeof(e->service), "runnel");
    if (instance)
        snprintf(e->instance, SOURCE_PART_MAX + 1, "%s", instance);
    else
        snprintf(e->instance, SOURCE_PART_MAX + 1, "%.100s-%d", host, (int)getpid());
    envelope_set_source(e, LAYER_OWN, e->service, e->instance);
    take(e, LAYER_OWN, ENVELOPE_HOSTNAME, host);
    take(e, LAYER_OWN, ENVELOPE_NODE, id ? id : node_id(node) ? node : NULL);
    take(e, LAYER_OWN, ENVELOPE_KIND, "runtime");
}

static void take_environment(struct runnel_envelope *e)
{
    take_source(e);
    take(e, LAYER_OWN, ENVELOPE_ACTOR, getenv("RUNNEL_ACTOR"));
    take(e, LAYER_OWN, ENVELOPE_TENANT, getenv("RUNNEL_TENANT"));
    take(e, LAYER_OWN, ENVELOPE_SESSION, getenv("RUNNEL_SESSION"));
    take(e, LAYER_OWN, ENVELOPE_USER, getenv("RUNNEL_USER"));
    /* of the event that a command of `runnel sub --exec` handles */
    take(e, LAYER_CAUSED, ENVELOPE_CAUSATION, getenv("RUNNEL_EVENT_ID"));
    take(e, LAYER_CAUSED, ENVELOPE_CORRELATION,
         environment("RUNNEL_EVENT_CORRELATION_ID", "RUNNEL_EVENT_ID"));
    take(e, LAYER_CAUSED, ENVELOPE_CHAIN, getenv("RUNNEL_EVENT_CORRELATION_CHAIN"));
    take(e, LAYER_CAUSED, ENVELOPE_TRACEPARENT, getenv("TRACEPARENT"));
    if (e->values[LAYER_CAUSED][ENVELOPE_TRACEPARENT].len)
        take(e, LAYER_CAUSED, ENVELOPE_TRACESTATE, getenv("TRACESTATE"));
}

/* ---- life ---- */

runnel_envelope *runnel_envelope_new(void)
{
    struct runnel_envelope *e = calloc(1, sizeof(*e));
    if (e)
        e->entropy = entropy_new();
    if (!e || !e->entropy) {
        free(e);
        client_error(NULL, ERR_CLIENT_QUEUE_FULL, "no memory for a publishing context");
        return NULL;
    }
    take_environment(e);
    return e;
}

void runnel_envelope_free(runnel_envelope *e)
{
    if (!e)
        return;
    runnel_envelope_follow(e, NULL);
    EVP_MD_CTX_free(e->digest);
    entropy_free(e->entropy);
    free(e->scratch);
    free(e->members);
    free(e->decoded);
    free(e);
}

/* ---- fields ---- */

static int set_id(struct runnel_envelope *e, const char *value)
{
    static const char *const kinds[] = { "v4", "v7", "content" };
    for (size_t i = 0; i < 3; i++) {
        if (value ? strcmp(value, kinds[i]) != 0 : i != IDS_V4)
            continue;
        e->ids = (enum envelope_ids)i;
        store(e, LAYER_OWN, ENVELOPE_ID, (struct bytes){ NULL, 0 });
        e->rendered = false;
        return 0;
    }
    return envelope_put(e, LAYER_OWN, ENVELOPE_ID, bytes_of(value));
}

int runnel_envelope_set(runnel_envelope *e, const char *name, const char *value)
{
    char fresh[UUID_TEXT];
    if (!strcmp(name, "service") || !strcmp(name, "instance_id"))
        return set_source_part(e, *name == 's', value);
    const int field = !strcmp(name, "id") ? ENVELOPE_ID : envelope_find(bytes_of(name));
    if (field < 0)
        return client_error(NULL, ERR_ENVELOPE_INVALID, "an envelope has no field '%.64s'", name);
    if (field == ENVELOPE_ID)
        return set_id(e, value);
    if (field == ENVELOPE_SOURCE && !value)
        return envelope_set_source(e, LAYER_OWN, e->service, e->instance);
    if (field == ENVELOPE_CORRELATION && value && !strcmp(value, "new")) {
        uuid_v4(e->entropy, fresh);
        return envelope_put(e, LAYER_OWN, ENVELOPE_CORRELATION,
                            (struct bytes){ (const uint8_t *)fresh, UUID_TEXT });
    }
    if (field == ENVELOPE_PRIORITY && value && (value[0] == 'P' || value[0] == 'p') && value[1])
        value++; /* P0: as people write it */
    if (value && strlen(value) > ENVELOPE_VALUE_BYTES)
        return client_error(NULL, ERR_ENVELOPE_INVALID, "%s is longer than %d bytes",
                            envelope_name((enum envelope_field)field), ENVELOPE_VALUE_BYTES);
    return envelope_put(e, LAYER_OWN, (enum envelope_field)field, bytes_of(value));
}

struct runnel_text runnel_envelope_get(const runnel_envelope *e, int field)
{
    struct bytes value = { NULL, 0 };
    if (field >= 0 && field < ENVELOPE_FIELDS)
        value = envelope_value(e, (enum envelope_field)field);
    return (struct runnel_text){ (const char *)value.at, value.len };
}

const char *runnel_envelope_id(const runnel_envelope *e)
{
    return e->last_id;
}

/* ---- flows ---- */

/* `chain` and `id` behind it; one flow in the middle is left out where there would be too many. */
static uint32_t chain_push(char out[ENVELOPE_VALUE_BYTES], struct bytes chain, struct bytes id)
{
    uint32_t ids = chain.len ? 1 : 0, len = chain.len;
    for (uint32_t i = 0; i < chain.len; i++)
        ids += chain.at[i] == ',';
    if (len)
        memcpy(out, chain.at, len);
    if (ids == ENVELOPE_CHAIN_MAX) {
        char *second = memchr(out, ',', len);
        char *third = memchr(second + 1, ',', len - (uint32_t)(second + 1 - out));
        memmove(second, third, len - (uint32_t)(third - out));
        len -= (uint32_t)(third - second);
    }
    if (len)
        out[len++] = ',';
    memcpy(out + len, id.at, id.len);
    return len + id.len;
}

int runnel_envelope_child_flow(runnel_envelope *e)
{
    char chain[ENVELOPE_VALUE_BYTES], fresh[UUID_TEXT];
    const struct bytes parent = envelope_value(e, ENVELOPE_CORRELATION);
    const bool own =
        e->values[LAYER_OWN][ENVELOPE_CORRELATION].len || e->values[LAYER_OWN][ENVELOPE_CHAIN].len;
    const enum envelope_layer layer = own ? LAYER_OWN : LAYER_CAUSED;
    uuid_v4(e->entropy, fresh);
    if (parent.len) {
        const uint32_t len = chain_push(chain, envelope_value(e, ENVELOPE_CHAIN), parent);
        const int rc = envelope_put(e, layer, ENVELOPE_CHAIN, (struct bytes){ (const uint8_t *)chain, len });
        if (rc)
            return rc;
    }
    return envelope_put(e, layer, ENVELOPE_CORRELATION, (struct bytes){ (const uint8_t *)fresh, UUID_TEXT });
}
