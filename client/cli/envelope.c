/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/envelope.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { RANDOM_POOL_BYTES = 4096 };

/* Random bytes, fetched by the page: a system call per event would cost more than the event. */
static void random_bytes(uint8_t *out, size_t n)
{
    static uint8_t pool[RANDOM_POOL_BYTES];
    static size_t left;

    while (left < n) {
        const ssize_t got = getrandom(pool, sizeof(pool), 0);
        left = got > 0 ? (size_t)got : 0;
    }
    left -= n;
    memcpy(out, pool + left, n);
}

static void uuid_print(const uint8_t id[16], char *out)
{
    static const char hex[] = "0123456789abcdef";

    for (int i = 0; i < 16; i++) {
        *out++ = hex[id[i] >> 4];
        *out++ = hex[id[i] & 15];
        if (i == 3 || i == 5 || i == 7 || i == 9)
            *out++ = '-';
    }
    *out = '\0';
}

void uuid_text(enum uuid_kind kind, int64_t now_ms, char out[UUID_TEXT_BYTES])
{
    /* 12 bits behind the milliseconds count what is made within one; when they overflow, or the clock goes
     * back, the time runs ahead a little instead of the order being lost (RFC 9562, 6.2) */
    static int64_t last_ms;
    static unsigned counter;
    uint8_t id[16];

    random_bytes(id, sizeof(id));
    if (kind == UUID_V7) {
        if (now_ms > last_ms) {
            last_ms = now_ms;
            counter = id[7] & 0x7f; /* leaves room to count in */
        } else if (++counter > 0xfff) {
            last_ms++;
            counter = 0;
        }
        for (int i = 0; i < 6; i++)
            id[i] = (uint8_t)(last_ms >> (40 - 8 * i));
        id[6] = (uint8_t)(counter >> 8);
        id[7] = (uint8_t)counter;
    }
    id[6] = (uint8_t)((id[6] & 0x0f) | (kind == UUID_V7 ? 0x70 : 0x40));
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    uuid_print(id, out);
}

static struct runnel_header *find_header(struct envelope *e, const char *name)
{
    for (size_t i = 0; i < e->count; i++) {
        if (!strcmp(e->headers[i].name, name))
            return &e->headers[i];
    }
    return NULL;
}

/* Adds a header unless it is there; NULL in that case. */
static struct runnel_header *add_header(struct envelope *e, const char *name, const char *value)
{
    struct runnel_header *header = &e->headers[e->count];

    if (find_header(e, name))
        return NULL;
    *header = (struct runnel_header){ name, value, strlen(value) };
    e->count++;
    return header;
}

static int given_headers(struct cli *cli, struct envelope *e)
{
    const char *text;
    size_t i = 0;

    while ((text = args_each(&cli->args, OPT_HEADER, &i))) {
        const char *equals = strchr(text, '=');
        char *name;
        if (!equals || equals == text)
            return cli_usage("write -H name=value", "'%s' is not a header", text);
        if (e->count == ENVELOPE_HEADERS_MAX - 8)
            return cli_usage("use fewer", "too many headers");
        name = cli_keep(text);
        name[equals - text] = '\0';
        e->headers[e->count++] = (struct runnel_header){ name, equals + 1, strlen(equals + 1) };
    }
    return EXIT_DONE;
}

int envelope_init(struct cli *cli, struct envelope *e)
{
    const char *type = args_value(&cli->args, OPT_TYPE), *id = args_value(&cli->args, OPT_ID);
    const char *correlation = args_value(&cli->args, OPT_CORRELATION);
    const char *causation = args_value(&cli->args, OPT_CAUSATION);
    int rc;

    *e = (struct envelope){ 0 };
    rc = given_headers(cli, e);
    if (rc || (!type && !id && !correlation && !causation))
        return rc;
    memcpy(e->source_text, "/runnel/", 8);
    if (gethostname(e->source_text + 8, sizeof(e->source_text) - 9) < 0)
        memcpy(e->source_text + 8, "unknown", 8);
    add_header(e, "ce_specversion", "1.0");
    if (!id || !strcmp(id, "v7") || !strcmp(id, "v4")) {
        struct runnel_header *header = add_header(e, "ce_id", "");
        if (header) {
            *header = (struct runnel_header){ "ce_id", e->id_text, UUID_TEXT_BYTES - 1 };
            e->fresh_id = id && !strcmp(id, "v4") ? UUID_V4 : UUID_V7;
        }
    } else {
        add_header(e, "ce_id", id);
    }
    add_header(e, "ce_source", e->source_text);
    if (type)
        add_header(e, "ce_type", type);
    if (correlation)
        add_header(e, "ce_correlationid", correlation);
    if (causation)
        add_header(e, "ce_causationid", causation);
    e->time = add_header(e, "ce_time", "");
    return EXIT_DONE;
}

void envelope_next(struct envelope *e, int64_t now_ms)
{
    if (e->fresh_id)
        uuid_text(e->fresh_id, now_ms, e->id_text);
    if (e->time) {
        e->time->value = e->time_text;
        e->time->value_len = encode_time(e->time_text, now_ms);
    }
}
