/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal_format.c: encode, decode and check the bytes of a journal file.
 */
#include "journal/journal_format.h"

#include <string.h>

#include "base/check.h"
#include "proto/crc32c.h"

enum { FILE_CHECKSUM_AT = JOURNAL_BLOCK - 4 };

void journal_file_header_encode(uint8_t *block, const struct journal_file_header *header)
{
    struct journal_file_header h = *header;
    h.magic = JOURNAL_FILE_MAGIC;
    h.version = JOURNAL_VERSION;
    h.unused = 0;
    h.unused2 = 0;
    memset(block, 0, JOURNAL_BLOCK);
    memcpy(block, &h, sizeof(h));
    uint32_t checksum = crc32c(0, block, FILE_CHECKSUM_AT);
    memcpy(block + FILE_CHECKSUM_AT, &checksum, sizeof(checksum));
}

static bool format_zero(const uint8_t *at, uint32_t bytes)
{
    return at[0] == 0 && memcmp(at, at + 1, bytes - 1) == 0;
}

enum journal_check journal_file_header_decode(const uint8_t *block, struct journal_file_header *out)
{
    memcpy(out, block, sizeof(*out));
    if (out->magic != JOURNAL_FILE_MAGIC)
        return format_zero(block, JOURNAL_BLOCK) ? JOURNAL_ZERO : JOURNAL_DAMAGED;
    /* Before the checksum, which another version may keep elsewhere. 0 is no version: a torn header. */
    if (out->version != JOURNAL_VERSION)
        return out->version == 0 ? JOURNAL_DAMAGED : JOURNAL_FOREIGN;
    uint32_t checksum;
    memcpy(&checksum, block + FILE_CHECKSUM_AT, sizeof(checksum));
    if (checksum != crc32c(0, block, FILE_CHECKSUM_AT))
        return JOURNAL_DAMAGED;
    if (out->number == 0 || out->first_sequence == 0 || out->file_bytes < 2 * JOURNAL_BLOCK ||
        out->file_bytes % JOURNAL_BLOCK != 0)
        return JOURNAL_DAMAGED;
    return JOURNAL_VALID;
}

uint32_t journal_commit_encode(uint8_t *at, struct journal_commit *commit)
{
    uint32_t bytes = journal_commit_bytes(commit->payload_bytes);
    uint32_t used = JOURNAL_COMMIT_HEADER + commit->payload_bytes;
    memset(at + used, 0, bytes - used);
    commit->magic = JOURNAL_COMMIT_MAGIC;
    commit->version = JOURNAL_VERSION;
    commit->header_bytes = JOURNAL_COMMIT_HEADER;
    commit->unused = 0;
    commit->unused2 = 0;
    commit->payload_checksum = crc32c(0, at + JOURNAL_COMMIT_HEADER, bytes - JOURNAL_COMMIT_HEADER);
    commit->checksum = crc32c(0, commit, offsetof(struct journal_commit, checksum));
    memcpy(at, commit, sizeof(*commit));
    return bytes;
}

bool journal_commit_maybe(const uint8_t *at)
{
    const uint32_t magic = JOURNAL_COMMIT_MAGIC;
    return memcmp(at, &magic, sizeof(magic)) == 0;
}

/* The entries fill the payload exactly and are as many as the header says. */
static bool commit_entries_fit(const uint8_t *at, const struct journal_commit *commit)
{
    const uint8_t *entry = at + JOURNAL_COMMIT_HEADER, *end = entry + commit->payload_bytes;
    struct journal_entry e;
    uint32_t entries = 0;
    while (journal_entry_decode(&entry, end, &e))
        entries++;
    return entry == end && entries == commit->entries;
}

enum journal_check journal_commit_decode(const uint8_t *at, uint64_t bytes, struct journal_commit *out)
{
    if (bytes < JOURNAL_BLOCK)
        return JOURNAL_DAMAGED;
    memcpy(out, at, sizeof(*out));
    if (out->magic != JOURNAL_COMMIT_MAGIC)
        return format_zero(at, JOURNAL_BLOCK) ? JOURNAL_ZERO : JOURNAL_DAMAGED;
    if (out->version != JOURNAL_VERSION)
        return out->version == 0 ? JOURNAL_DAMAGED : JOURNAL_FOREIGN;
    bool checked = true;
#ifdef RUNNEL_SABOTAGE_CRC_UNCHECKED
    checked = false; /* deliberate fault: the tests must notice */
#endif
    if (checked && out->checksum != crc32c(0, at, offsetof(struct journal_commit, checksum)))
        return JOURNAL_DAMAGED;
    if (out->durable >= out->sequence || out->payload_bytes > bytes - JOURNAL_COMMIT_HEADER)
        return JOURNAL_DAMAGED;
    /* Cannot pass `bytes` unless that is no multiple of the block. */
    uint64_t whole = ((uint64_t)JOURNAL_COMMIT_HEADER + out->payload_bytes + JOURNAL_BLOCK - 1) &
                     ~(uint64_t)(JOURNAL_BLOCK - 1);
    if (whole > bytes)
        return JOURNAL_DAMAGED;
    if (checked &&
        out->payload_checksum != crc32c(0, at + JOURNAL_COMMIT_HEADER, whole - JOURNAL_COMMIT_HEADER))
        return JOURNAL_DAMAGED;
    if (!commit_entries_fit(at, out))
        return JOURNAL_DAMAGED;
    /* The checksums hold, so somebody meant this: a transaction of several shards, or a flag of the future.
     */
    if (out->header_bytes != JOURNAL_COMMIT_HEADER || out->participants > 1 ||
        (out->flags & ~JOURNAL_FLAGS) != 0)
        return JOURNAL_FOREIGN;
    return JOURNAL_VALID;
}

uint8_t *journal_entry_encode(uint8_t *at, uint8_t type, uint32_t body_bytes)
{
    uint32_t whole = journal_entry_bytes(body_bytes);
    memset(at + whole - 8, 0, 8); /* the padding; also the header of an empty body */
    memcpy(at, &body_bytes, sizeof(body_bytes));
    at[4] = type;
    memset(at + 5, 0, 3);
    return at + JOURNAL_ENTRY_HEADER;
}

bool journal_entry_decode(const uint8_t **at, const uint8_t *end, struct journal_entry *out)
{
    uint64_t left = (uint64_t)(end - *at);
    if (left < JOURNAL_ENTRY_HEADER)
        return false;
    uint32_t bytes;
    memcpy(&bytes, *at, sizeof(bytes));
    uint64_t whole = JOURNAL_ENTRY_HEADER + (((uint64_t)bytes + 7) & ~UINT64_C(7));
    if (whole > left)
        return false;
    const uint8_t *zero = *at + 5;
    if (zero[0] != 0 || zero[1] != 0 || zero[2] != 0)
        return false;
    out->type = (*at)[4];
    out->bytes = bytes;
    out->body = *at + JOURNAL_ENTRY_HEADER;
    *at += whole;
    return true;
}
