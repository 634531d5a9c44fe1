/* SPDX-License-Identifier: Apache-2.0
 *
 * A file of event ids, and the state that lists it, as they might be found at a start. The first byte says
 * what the rest is: bit 0  set: the checkpoint's state; clear: the file bit 1  the file's checksum is made
 * right first, so that what lies behind it is reached as well Whatever is accepted is whole: as many ids as
 * were said, and each of them known.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "base/diag.h"
#include "base/mem.h"
#include "dedupe/dedupe.h"
#include "io/file.h"
#include "io_sim.h"
#include "proto/crc32c.h"
#include "proto/cursor.h"

enum { HEADER = 64, ENTRY = 40, CRC_AT = 12, CRC_FROM = 16, INPUT_MAX = 1 << 14, NUMBER = 1, TOPIC = 7 };

static void put_file(const uint8_t *at, size_t size, bool right)
{
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, at, size);
    if (right && size >= HEADER) {
        const uint32_t crc = crc32c(0, copy + CRC_FROM, size - CRC_FROM);
        memcpy(copy + CRC_AT, &crc, sizeof(crc));
    }
    const int fd = file_open("/dedupe/0000000000000001.ids", FILE_WRITE | FILE_CREATE, NULL);
    FUZZ_CHECK(fd >= 0 && file_write(fd, copy, size, 0) == 0);
    file_close(fd);
    free(copy);
}

static void found(void *ctx, const char *file, uint64_t position, const char *text)
{
    (void)file;
    (void)position;
    FUZZ_CHECK(text[0]);
    ++*(uint32_t *)ctx;
}

/* A state that lists the one file, of so many ids. */
static uint32_t make_state(uint8_t *out, uint32_t room, uint64_t count)
{
    struct writer w = writer_of(out, room);
    write_space(&w, 32);
    write_u32(&w, 1); /* windows */
    write_u64(&w, TOPIC);
    write_u64(&w, 0);
    write_u32(&w, 0); /* partitions */
    write_u32(&w, 1); /* files */
    write_u64(&w, NUMBER);
    write_u64(&w, count);
    write_u64(&w, 1000);
    write_u32(&w, 0); /* ids in none */
    write_u64(&w, NUMBER + 1);
    FUZZ_CHECK(!w.bad);
    return writer_len(&w);
}

static void try_load(const uint8_t *state, size_t bytes, uint64_t count)
{
    char why[DEDUPE_WHY_BYTES] = "";
    uint32_t findings = 0;
    struct dedupe *all = dedupe_create("/dedupe", UINT64_MAX / 2);
    struct dedupe_window *w = dedupe_open(all, TOPIC, 1000);
    const int result = dedupe_load(all, state, bytes, found, &findings, why);
    const struct dedupe_stats *stats = dedupe_stats(all);
    FUZZ_CHECK(result == 0 || result == -EBADMSG || why[0]);
    if (result == 0 && count != UINT64_MAX) {
        FUZZ_CHECK(findings ? stats->ids == 0 : stats->ids == count);
        FUZZ_CHECK(!findings || dedupe_lost_until(w) == 2000);
    }
    while (dedupe_turn(all, INT64_MAX / 2))
        ;
    FUZZ_CHECK(result || stats->ids == 0);
    dedupe_close(w);
    dedupe_destroy(all);
    FUZZ_CHECK(mem_used(MEM_DEDUPE) == 0);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    uint8_t state[128];
    if (size < 1 || size > INPUT_MAX)
        return;
    diag_set_level(DIAG_ERROR + 1);
    io_sim_start(&(struct io_sim_options){ .seed = 1 });
    FUZZ_CHECK(file_mkdir("/dedupe") == 1);
    if (data[0] & 1) {
        uint8_t *copy = malloc(size - 1 + !size); /* its own end: a read behind it is seen */
        memcpy(copy, data + 1, size - 1);
        try_load(copy, size - 1, UINT64_MAX);
        free(copy);
    } else {
        const uint64_t count = size - 1 > HEADER ? (size - 1 - HEADER) / ENTRY : 0;
        put_file(data + 1, size - 1, data[0] & 2);
        try_load(state, make_state(state, sizeof(state), count), count);
    }
    io_sim_end();
}
