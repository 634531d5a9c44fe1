/* SPDX-License-Identifier: Apache-2.0
 *
 * Journal files: any bytes as two files of a journal are scanned as at a start and as by `runneld --verify`.
 * Whatever they are, the scan ends, stays inside its memory, and hands out only entries that lie in a commit
 * whose checksums hold. Inputs that were made by hand would rarely get past a checksum, so the fuzzer's bytes
 * are also taken as patches to a good journal, with checksums made right again where asked.
 *
 *   input: u8 how, then triples (u16 position in 8-byte steps, u8 value) when patching; else file contents
 */
#include "fuzz.h"

#include <string.h>

#include "io/file.h"
#include "io_sim.h"
#include "journal/journal_format.h"
#include "journal/journal_scan.h"

enum { FILES = 2, BLOCKS = 6, FILE_BYTES = BLOCKS * JOURNAL_BLOCK };

static uint8_t files_bytes[FILES * FILE_BYTES];

static int see_entry(void *ctx, const struct journal_entry *e)
{
    volatile uint8_t sum = 0;
    for (uint32_t i = 0; i < e->bytes; i++)
        sum = (uint8_t)(sum + e->body[i]);
    FUZZ_CHECK(e->bytes < FILE_BYTES);
    ++*(uint64_t *)ctx;
    return 0;
}

static void see_finding(void *ctx, const char *file, uint64_t position, const char *text)
{
    (void)position;
    FUZZ_CHECK(file[0] != 0 && text[0] != 0);
    ++*(uint32_t *)ctx;
}

/* Two files, commits of one or two blocks, two epochs. */
static void make_good(void)
{
    memset(files_bytes, 0, sizeof(files_bytes));
    uint32_t chain = 0;
    uint64_t sequence = 0;
    for (uint64_t n = 0; n < FILES; n++) {
        uint8_t *file = files_bytes + n * FILE_BYTES;
        struct journal_file_header head = { .epoch = 1,
                                            .number = n + 1,
                                            .file_bytes = FILE_BYTES,
                                            .first_sequence = sequence + 1,
                                            .id = 5,
                                            .prev_chain = chain };
        journal_file_header_encode(file, &head);
        for (uint32_t at = JOURNAL_BLOCK; at + 2 * JOURNAL_BLOCK <= FILE_BYTES;) {
            bool opening = sequence == 0 || sequence == 4;
            uint32_t body = opening ? 0 : sequence % 3 == 0 ? 5000 : 40;
            if (!opening)
                memset(journal_entry_encode(file + at + JOURNAL_COMMIT_HEADER, 3, body), 7, body);
            sequence++;
            struct journal_commit c = { .sequence = sequence,
                                        .durable = sequence - 1,
                                        .file = n + 1,
                                        .position = at,
                                        .id = 5,
                                        .epoch = sequence > 4 ? 2 : 1,
                                        .chain = chain,
                                        .payload_bytes = opening ? 0 : journal_entry_bytes(body),
                                        .entries = !opening,
                                        .flags = opening ? JOURNAL_OPENING : 0 };
            at += journal_commit_encode(file + at, &c);
            chain = c.checksum;
        }
    }
}

/* Headers get checksums that fit their contents again. */
static void make_right(void)
{
    for (uint32_t at = 0; at < sizeof(files_bytes); at += JOURNAL_BLOCK) {
        uint8_t *block = files_bytes + at;
        struct journal_commit c;
        struct journal_file_header head;
        memcpy(&head, block, sizeof(head));
        if (head.magic == JOURNAL_FILE_MAGIC && head.version == JOURNAL_VERSION)
            journal_file_header_encode(block, &head);
        memcpy(&c, block, sizeof(c));
        if (c.magic == JOURNAL_COMMIT_MAGIC && c.version == JOURNAL_VERSION &&
            c.payload_bytes <= JOURNAL_BLOCK - JOURNAL_COMMIT_HEADER)
            journal_commit_encode(block, &c);
    }
}

static void make_files(const uint8_t *data, size_t size)
{
    make_good();
    uint8_t how = size ? data[0] : 0;
    data++;
    size = size ? size - 1 : 0;
    if (how & 1) {
        for (; size >= 3; data += 3, size -= 3) {
            uint32_t at = ((uint32_t)data[0] | (uint32_t)data[1] << 8) * 8 % sizeof(files_bytes);
            files_bytes[at + data[2] % 8] ^= data[2];
        }
        if (how & 2)
            make_right();
    } else if (size > 0) {
        memcpy(files_bytes + (how & 4 ? FILE_BYTES : 0), data, size < FILE_BYTES ? size : FILE_BYTES);
    }
}

static void scan_both_ways(struct journal_files *files, const struct journal_point *from)
{
    char why[512] = "";
    uint64_t entries = 0, entries_verify = 0;
    uint32_t findings = 0;
    struct journal_scan scan = { .files = files,
                                 .from = from,
                                 .replay = see_entry,
                                 .replay_ctx = &entries,
                                 .why = why,
                                 .why_bytes = sizeof(why) };
    int error = journal_scan(&scan);
    FUZZ_CHECK(error <= 0);
    FUZZ_CHECK((error == 0) == (why[0] == 0));
    FUZZ_CHECK(scan.report.entries == entries);
    struct journal_scan verify = { .files = files,
                                   .from = from,
                                   .replay = see_entry,
                                   .replay_ctx = &entries_verify,
                                   .finding = see_finding,
                                   .finding_ctx = &findings,
                                   .why = why,
                                   .why_bytes = sizeof(why) };
    FUZZ_CHECK(journal_scan(&verify) == 0);
    FUZZ_CHECK(verify.findings == findings);
    FUZZ_CHECK((error == 0) == (findings == 0)); /* both see the same damage */
    if (error == 0)
        FUZZ_CHECK(entries_verify == entries && verify.sequence == scan.sequence);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    make_files(data, size);
    io_sim_start(&(struct io_sim_options){ .seed = 1 });
    file_mkdir("/j");
    for (int i = 0; i < FILES; i++) {
        const char *path = i ? "/j/0000000000000001.journal" : "/j/0000000000000000.journal";
        int fd = file_open(path, FILE_WRITE | FILE_CREATE, NULL);
        FUZZ_CHECK(fd >= 0 && file_write(fd, files_bytes + i * FILE_BYTES, FILE_BYTES, 0) == 0);
        file_close(fd);
    }
    struct journal_files files;
    char why[512];
    FUZZ_CHECK(journal_files_open(&files, "/j", false, why, sizeof(why)) == 0);
    static const struct journal_point beginning = { 0 };
    scan_both_ways(&files, &beginning);
    scan_both_ways(&files, NULL);
    journal_files_destroy(&files);
    io_sim_end();
}
