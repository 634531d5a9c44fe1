/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/envelope.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int option;
    const char *field;
} rows[] = {
    { OPT_TYPE, "event_type" },
    { OPT_ID, "event_id" },
    { OPT_CORRELATION, "correlation_id" },
    { OPT_CAUSATION, "causation_id" },
    { OPT_SUBJECT, "entity" },
    { OPT_ACTOR, "actor" },
    { OPT_TENANT, "tenant_id" },
    { OPT_SESSION, "session_key" },
    { OPT_USER, "user_id" },
    { OPT_PRIORITY, "priority" },
    { OPT_SCHEMA_VERSION, "version" },
};

static int set(struct envelope *e, const char *option, const char *field, const char *value)
{
    if (runnel_envelope_set(e->context, field, value) == 0)
        return EXIT_DONE;
    return cli_fail(EXIT_REFUSED, runnel_error_name(RUNNEL_E_ENVELOPE_INVALID), "see docs/envelope.md",
                    "%s '%s': %s", option, value, runnel_last_error(NULL)->text);
}

/* SERVICE, SERVICE/INSTANCE, or a URI as a whole. */
static int set_source(struct envelope *e, const char *source)
{
    const char *slash = strchr(source, '/');
    char *service;
    int rc;

    if (*source == '/' || strstr(source, ":"))
        return set(e, "--source", "source", source);
    service = cli_keep(source);
    if (slash)
        service[slash - source] = '\0';
    rc = set(e, "--source", "service", service);
    return rc || !slash ? rc : set(e, "--source", "instance_id", slash + 1);
}

static int given_headers(struct cli *cli, struct envelope *e)
{
    const char *text;
    size_t i = 0;

    while ((text = args_each(&cli->args, OPT_HEADER, &i))) {
        const char *equals = strchr(text, '=');
        char *name;
        int rc;
        if (!equals || equals == text)
            return cli_usage("write -H name=value", "'%s' is not a header", text);
        name = cli_keep(text);
        name[equals - text] = '\0';
        if (e->context && runnel_field_of_header(name, strlen(name)) >= 0) {
            rc = set(e, "-H", name, equals + 1);
            if (rc)
                return rc;
            continue;
        }
        if (e->given == ENVELOPE_HEADERS_MAX / 2) /* the other half: of envelopes in JSON */
            return cli_usage("use fewer", "too many headers");
        e->headers[e->given++] = (struct runnel_header){ name, equals + 1, strlen(equals + 1) };
    }
    e->count = e->given;
    return EXIT_DONE;
}

/* The first option of the envelope that was given, or NULL. */
static const char *given_field(const struct cli *cli)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (args_value(&cli->args, rows[i].option))
            return rows[i].field;
    return args_value(&cli->args, OPT_SOURCE)    ? "source"
           : args_value(&cli->args, OPT_PROFILE) ? "profile"
                                                 : NULL;
}

int envelope_init(struct cli *cli, struct envelope *e)
{
    const char *value;
    int rc = EXIT_DONE;

    *e = (struct envelope){ .profile = args_value(&cli->args, OPT_PROFILE) };
    if (args_flag(&cli->args, OPT_BARE)) {
        if (given_field(cli))
            return cli_usage("leave --bare out", "--bare sends no envelope, but its %s is given",
                             given_field(cli));
        return given_headers(cli, e);
    }
    e->context = runnel_envelope_new();
    if (!e->context)
        return cli_fail(EXIT_FAILED, NULL, "free some memory", "%s", runnel_last_error(NULL)->text);
    (void)runnel_envelope_set(e->context, "kind", "cli");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !rc; i++)
        if ((value = args_value(&cli->args, rows[i].option)))
            rc = set(e, rows[i].field, rows[i].field, value);
    if (!rc && (value = args_value(&cli->args, OPT_SOURCE)))
        rc = set_source(e, value);
    return rc ? rc : given_headers(cli, e);
}

int envelope_event(struct envelope *e, struct runnel_event *event)
{
    struct runnel_event decoded = *event;

    event->envelope = e->context;
    event->headers = e->headers;
    event->header_count = e->given;
    if (!e->profile)
        return 0;
    const int rc = runnel_envelope_json(e->context, e->profile, event->value, event->value_len, &decoded);
    if (rc)
        return rc;
    /* what stands in the event counts more than what all have in common */
    event->value = decoded.value;
    event->value_len = decoded.value_len;
    if (decoded.key) {
        event->key = decoded.key;
        event->key_len = decoded.key_len;
    }
    if (decoded.timestamp_ms)
        event->timestamp_ms = decoded.timestamp_ms;
    for (size_t i = 0; i < decoded.header_count && event->header_count < ENVELOPE_HEADERS_MAX; i++)
        e->headers[event->header_count++] = decoded.headers[i];
    return 0;
}

void envelope_free(struct envelope *e)
{
    runnel_envelope_free(e->context);
    e->context = NULL;
}

const char *envelope_variable(int field, char out[ENVELOPE_VARIABLE_BYTES])
{
    const char *name = runnel_field_name(field);
    size_t len;

    if (!name)
        return NULL;
    if (!strncmp(name, "event_", 6))
        name += 6;
    len = (size_t)snprintf(out, ENVELOPE_VARIABLE_BYTES, "RUNNEL_EVENT_%s", name);
    for (size_t i = 0; i < len; i++)
        out[i] = (char)toupper((unsigned char)out[i]);
    return out;
}
