/* SPDX-License-Identifier: Apache-2.0
 *
 * doc_tables errors | ops | fields | example: the parts of docs/ that follow from the code, as Markdown.
 *
 * check_docs.py compares them with what the pages say, so that neither can change alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/batch.h"
#include "proto/envelope.h"
#include "proto/wire.h"

static void print_errors(void)
{
    printf("| code | name | try again | meaning | what to do |\n| ---: | --- | --- | --- | --- |\n");
#define X(name, code, retriable, text, fix)                                                                  \
    printf("| %d | %s | %s | %s | %s |\n", code, #name, retriable ? "yes" : "no", text, fix);
    PROTO_ERRORS(X)
#undef X
}

static void print_ops(void)
{
    printf("| op | name |\n| ---: | --- |\n");
#define X(name, code) printf("| %d | %s |\n", code, #name);
    WIRE_OPS(X)
#undef X
}

static void print_fields(void)
{
    static const char *const forms[] = {
        "text",
        "id",
        "ids with commas between",
        "RFC 3339 time",
        "0 (highest) to 9",
        "1.2.3",
        "W3C trace context",
    };
    printf("| field | header | form |\n| --- | --- | --- |\n");
#define X(field, name, header, form)                                                                         \
    printf("| `%s` | `%s` | %s |\n", name, header, forms[ENVELOPE_FORM_##form]);
    ENVELOPE_FIELD_TABLE(X)
#undef X
}

/* ---- the example ---- */

enum { LINE_BYTES = 16 };

struct dump {
    const uint8_t *at, *end;
};

/* The next `n` bytes and what they are. */
static void piece(struct dump *d, uint32_t n, const char *label)
{
    for (uint32_t i = 0; i < n; i += LINE_BYTES) {
        int column = 0;
        for (uint32_t k = i; k < n && k < i + LINE_BYTES; k++)
            column += printf("%02x ", *d->at++);
        printf("%*s%s\n", LINE_BYTES * 3 - column + 1, "", i == 0 ? label : "");
    }
    if (d->at > d->end)
        abort();
}

static struct dump start(const char *title, const uint8_t *frame, uint32_t bytes)
{
    struct wire_header h;
    char label[64];
    if (!wire_header_decode(&h, frame, bytes) || h.size != bytes)
        abort();
    struct dump d = { frame, frame + bytes };
    printf("# %s\n", title);
    snprintf(label, sizeof(label), "size %u", h.size);
    piece(&d, 4, label);
    snprintf(label, sizeof(label), "op %u: %s", h.op, wire_op_name(h.op));
    piece(&d, 2, label);
    piece(&d, 2, h.flags & WIRE_REPLY ? "flags: reply" : "flags: none");
    snprintf(label, sizeof(label), "request id %u", h.request_id);
    piece(&d, 4, label);
    return d;
}

static void finish(struct dump *d, bool last)
{
    if (d->at != d->end)
        abort();
    if (!last)
        printf("\n");
}

static void example_hello(void)
{
    uint8_t buffer[512];
    struct writer w = writer_of(buffer, sizeof(buffer));
    uint8_t *frame = wire_frame_begin(&w);
    struct wire_hello hello = { WIRE_MAGIC, 1, WIRE_VERSION, 0, bytes_of("example"), bytes_of("1") };
    wire_put_hello(&w, &hello);
    struct dump d = start("client: HELLO", frame, wire_frame_end(&w, frame, WIRE_OP_HELLO, 0, 1));
    piece(&d, 4, "magic \"RNNL\"");
    piece(&d, 2, "lowest version 1");
    piece(&d, 2, "highest version 1");
    piece(&d, 8, "features: none");
    piece(&d, 9, "client \"example\"");
    piece(&d, 3, "client version \"1\"");
    finish(&d, false);

    w = writer_of(buffer, sizeof(buffer));
    frame = wire_frame_begin(&w);
    struct wire_hello_reply reply = { 1, 0, bytes_of("0.1.0"), { 0 }, 3, 16 << 20, 8 << 20, 32 << 20 };
    for (int i = 0; i < 16; i++)
        reply.broker_id[i] = (uint8_t)(0xa0 + i);
    wire_put_hello_reply(&w, &reply);
    d = start("broker: its reply", frame, wire_frame_end(&w, frame, WIRE_OP_HELLO, WIRE_REPLY, 1));
    piece(&d, 2, "version 1");
    piece(&d, 8, "features: none");
    piece(&d, 7, "broker version \"0.1.0\"");
    piece(&d, 16, "broker id");
    piece(&d, 4, "leader epoch 3");
    piece(&d, 4, "largest frame 16 MiB");
    piece(&d, 4, "largest batch 8 MiB");
    piece(&d, 4, "unanswered bytes 32 MiB");
    finish(&d, false);
}

static void example_produce(void)
{
    uint8_t buffer[512], batch[256];
    struct batch_builder b;
    struct header header = { bytes_of("h"), bytes_of("x") };
    batch_build_start(&b, batch, sizeof(batch));
    if (!batch_build_add(&b, 1700000000000, bytes_of("k"), bytes_of("hello"), &header, 1))
        abort();
    uint32_t batch_len = batch_build_finish(&b, -1, -1, -1);

    struct writer w = writer_of(buffer, sizeof(buffer));
    uint8_t *frame = wire_frame_begin(&w);
    wire_put_produce(&w, WIRE_ACKS_DURABLE, 1);
    wire_put_produce_batch(&w, 0, 2, (struct bytes){ batch, batch_len });
    struct dump d =
        start("client: PRODUCE, one batch of one record, into partition 2 of the topic with handle 0", frame,
              wire_frame_end(&w, frame, WIRE_OP_PRODUCE, 0, 2));
    char label[64];
    piece(&d, 1, "acks 2: durable");
    piece(&d, 1, "zero");
    piece(&d, 2, "1 batch");
    piece(&d, 4, "handle 0");
    piece(&d, 4, "partition 2");
    snprintf(label, sizeof(label), "%u bytes of batch; big-endian from here", batch_len);
    piece(&d, 4, label);
    piece(&d, 8, "base offset 0");
    snprintf(label, sizeof(label), "batch length %u", batch_len - BATCH_LENGTH_OVERHEAD);
    piece(&d, 4, label);
    piece(&d, 4, "leader epoch -1");
    piece(&d, 1, "magic 2");
    piece(&d, 4, "CRC-32C of all that follows");
    piece(&d, 2, "attributes: not compressed");
    piece(&d, 4, "last offset delta 0");
    piece(&d, 8, "base timestamp 1700000000000");
    piece(&d, 8, "max timestamp");
    piece(&d, 8, "producer id -1: none");
    piece(&d, 2, "producer epoch -1");
    piece(&d, 4, "base sequence -1");
    piece(&d, 4, "1 record");
    snprintf(label, sizeof(label), "record length %u", batch_len - BATCH_HEADER - 1);
    piece(&d, 1, label);
    piece(&d, 1, "attributes");
    piece(&d, 1, "timestamp delta 0");
    piece(&d, 1, "offset delta 0");
    piece(&d, 2, "key \"k\"");
    piece(&d, 6, "value \"hello\"");
    piece(&d, 1, "1 header");
    piece(&d, 4, "\"h\": \"x\"");
    finish(&d, false);

    w = writer_of(buffer, sizeof(buffer));
    frame = wire_frame_begin(&w);
    struct wire_produced row = { 41, 0, 3 };
    wire_put_produced(&w, &row, 1);
    d = start("broker: its reply", frame, wire_frame_end(&w, frame, WIRE_OP_PRODUCE, WIRE_REPLY, 2));
    piece(&d, 2, "1 row");
    piece(&d, 2, "zero");
    piece(&d, 4, "zero");
    piece(&d, 8, "base offset 41");
    piece(&d, 4, "flags: none");
    piece(&d, 4, "leader epoch 3");
    finish(&d, true);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "errors") == 0) {
        print_errors();
    } else if (strcmp(what, "ops") == 0) {
        print_ops();
    } else if (strcmp(what, "fields") == 0) {
        print_fields();
    } else if (strcmp(what, "example") == 0) {
        printf("```text\n");
        example_hello();
        example_produce();
        printf("```\n");
    } else {
        fprintf(stderr, "usage: doc_tables errors|ops|fields|example\n");
        return 2;
    }
    return 0;
}
