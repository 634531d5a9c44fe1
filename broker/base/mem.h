/* SPDX-License-Identifier: Apache-2.0
 *
 * base/mem.h: the broker's only door to the allocator (mimalloc).
 *
 * Every allocation names the room's account it is charged to; `stat` prints them. mem_alloc() never returns
 * NULL: limits are enforced above, by counting, before memory is asked for, so a failing allocator means that
 * the machine itself is out of memory, and the broker stops by name. Thread-safe.
 */
#ifndef RUNNEL_BASE_MEM_H
#define RUNNEL_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* Accounts: X(ID, "name in stat"). */
#define MEM_ACCOUNTS(X)                                                                                      \
    X(MEM_BASE, "base")                                                                                      \
    X(MEM_IO, "io")                                                                                          \
    X(MEM_JOURNAL, "journal")                                                                                \
    X(MEM_LOG, "log")                                                                                        \
    X(MEM_TAIL, "tails")                                                                                     \
    X(MEM_PARTITION, "partitions")                                                                           \
    X(MEM_CATALOG, "catalog")                                                                                \
    X(MEM_HISTORY, "history")                                                                                \
    X(MEM_DEDUPE, "dedupe")                                                                                  \
    X(MEM_SCHEMA, "schemas")                                                                                 \
    X(MEM_GROUP, "groups")                                                                                   \
    X(MEM_NET, "connections")                                                                                \
    X(MEM_API, "api")                                                                                        \
    X(MEM_KAFKA, "kafka")

enum mem_account {
#define X(id, name) id,
    MEM_ACCOUNTS(X)
#undef X
        MEM_ACCOUNT_COUNT
};

/* Zeroed memory of `bytes`; never NULL. */
void *mem_zalloc(enum mem_account account, size_t bytes);
/* Memory of `bytes`, contents undefined; never NULL. */
void *mem_alloc(enum mem_account account, size_t bytes);
/* As mem_alloc, aligned to `align` (a power of two). */
void *mem_alloc_aligned(enum mem_account account, size_t bytes, size_t align);
/* Grows or shrinks what mem_alloc gave; `old_bytes` is what was asked for then. `p` may be NULL with
 * old_bytes 0. */
void *mem_realloc(enum mem_account account, void *p, size_t old_bytes, size_t bytes);
/* Gives back what any of the above returned; `bytes` is what was asked for. NULL is ignored. */
void mem_free(enum mem_account account, void *p, size_t bytes);
/* A copy of a string; freed with mem_free(account, s, strlen(s) + 1). */
char *mem_strdup(enum mem_account account, const char *s);
/* Bytes now charged to an account. */
uint64_t mem_used(enum mem_account account);
const char *mem_account_name(enum mem_account account);
/* The process's resident set in bytes, read from /proc; 0 when it cannot be read. */
uint64_t mem_resident(void);

#endif
