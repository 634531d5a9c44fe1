/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/support/api_rig.h: the api room on a store on a simulated disk, without sockets: frames go in by
 * function call, and what each connection is sent lies in memory. Everything follows from the seed.
 *
 * The functions of net/conn.h and net/net.h that the api calls are defined here (a linker seam: name this
 * file in SOURCES, and the static library net gives only what is left over). Memory that is lent stays lent
 * until api_rig_drain(), so a slice that was released too early is found by AddressSanitizer.
 */
#ifndef RUNNEL_TESTS_API_RIG_H
#define RUNNEL_TESTS_API_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "base/clock.h"
#include "net/conn.h"
#include "net/net.h"
#include "partition/state.h"
#include "partition/store.h"
#include "proto/wire.h"
#include "schema/registry.h"

enum { API_RIG_CONNS = 8, API_RIG_LENT = 4096, API_RIG_OUT = 2 << 20 };

/* One connection. What it was sent is bytes [0, out_bytes) of `out`, lent slices copied in their place. */
struct api_rig_conn {
    struct conn conn; /* first: the api sees this */
    bool used, later;
    uint8_t *out;
    uint32_t out_bytes, reserved, taken; /* taken: read by api_rig_reply() */
};

/* Another protocol's door beside the api, on the same store and groups: what the broker tells it. */
struct api_rig_other {
    void *ctx;
    void (*durable)(void *ctx, uint64_t sequence);
    void (*room)(void *ctx);
    void (*turn_begin)(void *ctx);
    bool (*busy)(void *ctx);
};

struct api_rig {
    struct io *io;
    struct work *work;
    struct timers *timers;
    struct clock clock;
    struct store *store;
    struct groups *groups;
    struct registry *registry;
    struct store_state states[2];
    struct api *api;
    struct net_events events; /* of connections: the api's, unless the test says otherwise */
    struct api_rig_other other;
    uint8_t broker_id[16];
    struct api_rig_conn conns[API_RIG_CONNS];
    struct {
        const uint8_t *data;
        uint32_t bytes;
        void *pin;
    } lent[API_RIG_LENT];
    uint32_t lent_count;
    uint64_t lent_bytes;
    bool no_send_room; /* what net_send_room() and conn_out_room() say */
    bool failed;
    char why[512];
};

/* The disk is started by the caller (io_sim_start). One rig at a time. */
void api_rig_open(struct api_rig *rig);
void api_rig_close(struct api_rig *rig);
/* One turn of the loop, in the broker's order. */
void api_rig_turn(struct api_rig *rig);
void api_rig_turns(struct api_rig *rig, uint32_t turns);
/* Gives everything lent back, as a completed send does. */
void api_rig_drain(struct api_rig *rig);

struct api_rig_conn *api_rig_connect(struct api_rig *rig, bool hello);
void api_rig_disconnect(struct api_rig *rig, struct api_rig_conn *c);
/* Sends one frame. While the api says "later" it is offered again by api_rig_turn(); one at a time. */
enum net_take api_rig_frame(struct api_rig *rig, struct api_rig_conn *c, const void *frame, uint32_t bytes);
enum net_take api_rig_request(struct api_rig *rig, struct api_rig_conn *c, uint16_t op, uint32_t id,
                              const void *body, uint32_t bytes);
/* The next frame that the connection was sent; false: none. */
bool api_rig_reply(struct api_rig_conn *c, struct wire_header *h, struct reader *body);

#endif
