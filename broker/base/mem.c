/* SPDX-License-Identifier: Apache-2.0
 *
 * base/mem.c: mimalloc behind one door, with a byte counter per account.
 *
 * The counters are relaxed atomics: they are figures for people and for limits checked above with room to
 * spare, and order nothing.
 */
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <mimalloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

/* Each on its own cache line: workers and the loop charge different accounts at the same time. */
static struct {
    _Alignas(64) atomic_uint_fast64_t bytes;
} mem_accounts[MEM_ACCOUNT_COUNT];

static const char *const mem_names[MEM_ACCOUNT_COUNT] = {
#define X(id, name) name,
    MEM_ACCOUNTS(X)
#undef X
};

_Noreturn static void mem_out(enum mem_account account, size_t bytes)
{
    char text[256];
    int n = snprintf(text, sizeof(text),
                     "runnel: out of memory: %zu bytes for '%s' refused by the system; lower memory.limit or "
                     "give the process more memory\n",
                     bytes, mem_names[account]);
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) {
        /* stderr is gone; the exit still tells */
    }
    abort();
}

static void *mem_charge(enum mem_account account, void *p, size_t bytes)
{
    CHECK(account < MEM_ACCOUNT_COUNT);
    if (p == NULL)
        mem_out(account, bytes);
    atomic_fetch_add_explicit(&mem_accounts[account].bytes, bytes, memory_order_relaxed);
    return p;
}

static void mem_uncharge(enum mem_account account, size_t bytes)
{
    CHECK(account < MEM_ACCOUNT_COUNT);
    const uint64_t before =
        atomic_fetch_sub_explicit(&mem_accounts[account].bytes, bytes, memory_order_relaxed);
    CHECK(before >= bytes); /* freed to another account, or with another size */
}

/* Under AddressSanitizer the plain allocator is used: it puts red zones around every block, which mimalloc
 * would hide. */
#if defined(__SANITIZE_ADDRESS__)
#define MEM_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEM_SANITIZED 1
#endif
#endif

#ifdef MEM_SANITIZED
#define MEM_MALLOC(bytes)         malloc(bytes)
#define MEM_ZALLOC(bytes)         calloc(1, (bytes))
#define MEM_ALIGNED(bytes, align) aligned_alloc((align), ((bytes) + (align)-1) / (align) * (align))
#define MEM_REALLOC(p, bytes)     realloc((p), (bytes))
#define MEM_FREE(p)               free(p)
#else
#define MEM_MALLOC(bytes)         mi_malloc(bytes)
#define MEM_ZALLOC(bytes)         mi_zalloc(bytes)
#define MEM_ALIGNED(bytes, align) mi_malloc_aligned((bytes), (align))
#define MEM_REALLOC(p, bytes)     mi_realloc((p), (bytes))
#define MEM_FREE(p)               mi_free(p)
#endif

/* A block of no bytes is still a block: every allocator differs there, ours never returns NULL. */
static size_t mem_some(size_t bytes)
{
    return bytes ? bytes : 1;
}

void *mem_zalloc(enum mem_account account, size_t bytes)
{
    return mem_charge(account, MEM_ZALLOC(mem_some(bytes)), bytes);
}

void *mem_alloc(enum mem_account account, size_t bytes)
{
    return mem_charge(account, MEM_MALLOC(mem_some(bytes)), bytes);
}

void *mem_alloc_aligned(enum mem_account account, size_t bytes, size_t align)
{
    CHECK(align && (align & (align - 1)) == 0);
    if (align < sizeof(void *))
        align = sizeof(void *);
    return mem_charge(account, MEM_ALIGNED(mem_some(bytes), align), bytes);
}

void *mem_realloc(enum mem_account account, void *p, size_t old_bytes, size_t bytes)
{
    CHECK(p != NULL || old_bytes == 0);
    void *q = MEM_REALLOC(p, mem_some(bytes));
    mem_charge(account, q, bytes);
    mem_uncharge(account, old_bytes);
    return q;
}

void mem_free(enum mem_account account, void *p, size_t bytes)
{
    if (p == NULL)
        return;
    mem_uncharge(account, bytes);
    MEM_FREE(p);
}

char *mem_strdup(enum mem_account account, const char *s)
{
    const size_t bytes = strlen(s) + 1;
    char *copy = mem_alloc(account, bytes);
    memcpy(copy, s, bytes);
    return copy;
}

uint64_t mem_used(enum mem_account account)
{
    CHECK(account < MEM_ACCOUNT_COUNT);
    return atomic_load_explicit(&mem_accounts[account].bytes, memory_order_relaxed);
}

const char *mem_account_name(enum mem_account account)
{
    CHECK(account < MEM_ACCOUNT_COUNT);
    return mem_names[account];
}

uint64_t mem_resident(void)
{
    char text[128];
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    unsigned long long size_pages, resident_pages; /* the second figure is the resident set */
    if (sscanf(text, "%llu %llu", &size_pages, &resident_pages) != 2)
        return 0;
    const long page_bytes = sysconf(_SC_PAGESIZE);
    return page_bytes > 0 ? (uint64_t)resident_pages * (uint64_t)page_bytes : 0;
}
