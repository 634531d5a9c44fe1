/* SPDX-License-Identifier: Apache-2.0
 *
 * journal/journal_format.h: the bytes of a journal file: encode, decode, check. Pure functions.
 *
 *   file    [ file header 4 KiB | commit | commit | ... | rest: zeros, or commits of an earlier use ]
 *   commit  [ header 96 B | entry | entry | ... | zeros up to the 4 KiB block ]
 *   entry   [ u32 body bytes | u8 type | u8[3] zero | body | zeros up to 8 bytes ]
 *
 * Little-endian. A commit is bound to its journal (`id`), file number and position, so bytes that merely look
 * like a commit (an event that carries a copy of a journal file, say) are not one. Its header has a checksum
 * of its own: the lengths are trusted before anything is read by them, and looking for commits block by block
 * stays linear. That checksum covers the payload's checksum too and is what the successor names as its
 * predecessor. docs/log-format.md describes every field.
 */
#ifndef RUNNEL_JOURNAL_JOURNAL_FORMAT_H
#define RUNNEL_JOURNAL_JOURNAL_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal/journal.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs below are the bytes on disk");

#define JOURNAL_FILE_MAGIC   UINT64_C(0x4c4e524a4c4e5552) /* "RUNLJRNL" */
#define JOURNAL_COMMIT_MAGIC UINT32_C(0x4d434a52)         /* "RJCM" */

enum {
    JOURNAL_VERSION = 1,
    JOURNAL_COMMIT_HEADER = 96,
};

/* Flags of a commit. An unknown one makes the commit's format unknown. */
enum {
    JOURNAL_OPENING = 1 << 0, /* the first of an epoch; no entries */
    JOURNAL_CLOSING = 1 << 1, /* the last of a clean shutdown; no entries */
    JOURNAL_SEAL = 1 << 2,    /* written in a pause: proves that its predecessor is durable; no entries */
    JOURNAL_FLAGS = JOURNAL_OPENING | JOURNAL_CLOSING | JOURNAL_SEAL,
};

struct journal_file_header {
    uint64_t magic;
    uint16_t version;
    uint16_t unused;
    uint32_t epoch;          /* in which this use of the file began */
    uint64_t number;         /* 1, 2, ...: a new one at each use */
    uint64_t file_bytes;     /* size of the file */
    uint64_t first_sequence; /* of the first commit in it */
    uint64_t id;             /* of the journal, drawn when it was made */
    uint32_t prev_chain;     /* checksum of the commit before that */
    uint32_t unused2;
};
static_assert(sizeof(struct journal_file_header) == 56, "as documented");
static_assert(offsetof(struct journal_file_header, number) == 16, "as documented");
static_assert(offsetof(struct journal_file_header, prev_chain) == 48, "as documented");

struct journal_commit {
    uint32_t magic;
    uint16_t version;
    uint16_t header_bytes;
    uint64_t sequence;
    uint64_t durable;  /* everything up to this sequence was on stable storage when the commit was built */
    uint64_t file;     /* number of the file that it is in */
    uint64_t position; /* and where */
    uint64_t id;
    uint64_t transaction; /* of several shards; 0: none */
    uint32_t epoch;
    uint32_t chain;         /* checksum of the predecessor */
    uint32_t payload_bytes; /* all entries, without the zeros at the end */
    uint32_t entries;
    uint16_t participants; /* of the transaction; 0 or 1: this commit alone */
    uint16_t flags;
    uint32_t unused;
    uint64_t unused2;
    uint32_t payload_checksum; /* CRC-32C of everything behind the header, padding included */
    uint32_t checksum;         /* CRC-32C of the header up to here */
};
static_assert(sizeof(struct journal_commit) == JOURNAL_COMMIT_HEADER, "as documented");
static_assert(offsetof(struct journal_commit, epoch) == 56, "as documented");
static_assert(offsetof(struct journal_commit, payload_checksum) == 88, "as documented");

enum journal_check {
    JOURNAL_VALID,
    JOURNAL_ZERO,    /* nothing was ever written here */
    JOURNAL_DAMAGED, /* torn, flipped, or something else */
    JOURNAL_FOREIGN, /* written by a version that we do not know */
};

/* Bytes that a commit with so many bytes of entries takes in the file. */
static inline uint32_t journal_commit_bytes(uint32_t payload_bytes)
{
    return (JOURNAL_COMMIT_HEADER + payload_bytes + JOURNAL_BLOCK - 1) & ~(uint32_t)(JOURNAL_BLOCK - 1);
}

/* Bytes that an entry takes in its commit. */
static inline uint32_t journal_entry_bytes(uint32_t body_bytes)
{
    return JOURNAL_ENTRY_HEADER + ((body_bytes + 7) & ~UINT32_C(7));
}

/* Fills a whole block. Magic and version are set here. */
void journal_file_header_encode(uint8_t *block, const struct journal_file_header *header);
enum journal_check journal_file_header_decode(const uint8_t *block, struct journal_file_header *out);

/* Puts the header before the entries that are at `at` + JOURNAL_COMMIT_HEADER already, and zeros behind them.
 * Magic, version and checksums are set here, in `commit` too. Returns the bytes to write. */
uint32_t journal_commit_encode(uint8_t *at, struct journal_commit *commit);
/* Checks all of a commit at `at`, of which `bytes` bytes are there, its entries' form included. */
enum journal_check journal_commit_decode(const uint8_t *at, uint64_t bytes, struct journal_commit *out);
/* May a commit start here? Cheap; for looking through a file block by block. */
bool journal_commit_maybe(const uint8_t *at);

/* Writes an entry's header and the zeros behind its body; returns where the body goes. */
uint8_t *journal_entry_encode(uint8_t *at, uint8_t type, uint32_t body_bytes);
/* Takes the entry at *at, and moves *at behind it; false at the end or when the bytes up to `end` hold no
 * whole, well-formed entry (then *at is not `end`). Sets type, bytes and body. */
bool journal_entry_decode(const uint8_t **at, const uint8_t *end, struct journal_entry *out);

#endif
