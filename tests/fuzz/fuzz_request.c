/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests: any frames, on two connections, into the api on a real store on a simulated disk. Whatever they
 * are, each is answered with a well-formed frame or ends its connection, nothing crashes, and everything can
 * be closed down without anything left behind.
 *
 *   input: repeated: u8 what (bit 0: connection, bit 1: fix up a produced batch, bit 2: reconnect, bit 3:
 * drain, bits 4-7: turns), u8 op, u8 length / 4, the body
 */
#include "fuzz.h"

#include <string.h>

#include "api_rig.h"
#include "base/diag.h"
#include "io_sim.h"
#include "proto/batch.h"

static struct api_rig rig;

static void look_at_replies(struct api_rig_conn *c)
{
    struct wire_header h;
    struct reader body;
    while (api_rig_reply(c, &h, &body)) {
        FUZZ_CHECK((h.flags & ~(WIRE_REPLY | WIRE_ERROR | WIRE_PUSH)) == 0);
        if (h.flags & WIRE_ERROR) {
            struct wire_error e;
            FUZZ_CHECK(wire_get_error(body, &e));
            FUZZ_CHECK(e.code != 0 && e.text.len > 0 && strcmp(error_name(e.code), "UNKNOWN") != 0);
            FUZZ_CHECK(e.code != ERR_INTERNAL);
        }
    }
    c->taken = c->out_bytes = 0;
}

/* A good batch in a PRODUCE request, so that bytes that no fuzzer guesses (checksums) do not stand in the
 * way. */
static uint32_t good_produce(uint8_t *out, uint32_t room, const uint8_t *data, uint32_t size)
{
    uint8_t batch[2048];
    struct batch_builder b;
    struct writer w = writer_of(out, room);
    batch_build_start(&b, batch, sizeof(batch));
    const uint8_t handle = size > 0 ? data[0] % 3 : 0, partition = size > 1 ? data[1] % 5 : 0;
    const uint8_t acks = size > 2 ? data[2] % 4 : 2, count = size > 3 ? data[3] % 8 + 1 : 1;
    for (uint8_t i = 0; i < count; i++)
        (void)batch_build_add(&b, rig.clock.wall_ms + (size > 4 ? (int8_t)data[4] : 0),
                              (struct bytes){ data, size > 8 ? 8 : size },
                              (struct bytes){ data, size > 100 ? 100 : size }, NULL, 0);
    const int64_t producer = size > 5 && data[5] % 2 ? data[5] : -1;
    const uint32_t bytes = batch_build_finish(&b, producer, producer < 0 ? -1 : 0, size > 6 ? data[6] : 0);
    wire_put_produce(&w, acks, 1);
    wire_put_produce_batch(&w, handle, partition, (struct bytes){ batch, bytes });
    return writer_len(&w);
}

static void open_topic(struct api_rig_conn *c, const char *name)
{
    uint8_t body[64];
    struct writer w = writer_of(body, sizeof(body));
    const struct wire_open_topic open = { bytes_of(name), 1 };
    wire_put_open_topic(&w, &open);
    api_rig_request(&rig, c, WIRE_OP_OPEN_TOPIC, 1, body, writer_len(&w));
}

void fuzz_one(const uint8_t *data, size_t size)
{
    static uint8_t body[4096];
    diag_set_level(DIAG_ERROR);
    io_sim_start(&(struct io_sim_options){ .seed = 1 });
    api_rig_open(&rig);
    struct api_rig_conn *conns[2] = { api_rig_connect(&rig, true), api_rig_connect(&rig, size % 2) };
    open_topic(conns[0], "orders");
    open_topic(conns[0], "events");
    const uint8_t *end = data + size;
    for (uint32_t frames = 0; end - data >= 3 && frames < 64; frames++) {
        const uint8_t what = data[0], op = data[1];
        uint32_t bytes = data[2] * 4u;
        data += 3;
        if (bytes > (size_t)(end - data))
            bytes = (uint32_t)(end - data);
        struct api_rig_conn **c = &conns[what & 1];
        if ((what & 4) || !conn_open(&(*c)->conn)) {
            api_rig_disconnect(&rig, *c);
            *c = api_rig_connect(&rig, true);
        }
        if (!(*c)->later) {
            uint32_t len = bytes;
            memcpy(body, data, bytes);
            if (what & 2)
                len = good_produce(body, sizeof(body), data, bytes);
            api_rig_request(&rig, *c, what & 2 ? WIRE_OP_PRODUCE : op % 48, frames, body, len);
        }
        data += bytes;
        if (what & 8)
            api_rig_drain(&rig);
        api_rig_turns(&rig, what >> 4);
        look_at_replies(conns[0]);
        look_at_replies(conns[1]);
    }
    api_rig_close(&rig);
    io_sim_end();
}
