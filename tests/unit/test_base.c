/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of broker/base: memory accounts, the clock's seam, and operator messages byte for byte.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/list.h"
#include "base/mem.h"

Test(mem, accounts_follow_what_is_held)
{
    const uint64_t before = mem_used(MEM_LOG);
    char *p = mem_zalloc(MEM_LOG, 1000);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(p[i], 0);
    cr_assert_eq(mem_used(MEM_LOG), before + 1000);
    memset(p, 7, 1000);
    p = mem_realloc(MEM_LOG, p, 1000, 5000);
    cr_assert_eq(p[999], 7);
    cr_assert_eq(mem_used(MEM_LOG), before + 5000);
    mem_free(MEM_LOG, p, 5000);
    cr_assert_eq(mem_used(MEM_LOG), before);
    mem_free(MEM_LOG, NULL, 0);
}

Test(mem, aligned_and_empty_blocks)
{
    for (size_t align = 1; align <= 65536; align *= 2) {
        void *p = mem_alloc_aligned(MEM_TAIL, 100, align);
        cr_assert_eq((uintptr_t)p % align, 0);
        mem_free(MEM_TAIL, p, 100);
    }
    void *none = mem_alloc(MEM_BASE, 0);
    cr_assert_not_null(none);
    mem_free(MEM_BASE, none, 0);
    char *copy = mem_strdup(MEM_BASE, "orders");
    cr_assert_str_eq(copy, "orders");
    mem_free(MEM_BASE, copy, 7);
    cr_assert_eq(mem_used(MEM_BASE), 0);
    cr_assert_str_eq(mem_account_name(MEM_TAIL), "tails");
    cr_assert_gt(mem_resident(), 100000);
}

Test(mem, wrong_account_stops, .signal = SIGABRT)
{
    mem_free(MEM_API, mem_alloc(MEM_NET, 10), 10);
}

Test(check, failure_aborts, .signal = SIGABRT)
{
    CHECK(1 + 1 == 3);
}

static int64_t test_wall_ms;

static void test_clock_read(struct clock *clock)
{
    clock->wall_ms = test_wall_ms;
    clock->mono_ns++;
}

Test(clock, wall_time_never_runs_back)
{
    struct clock clock;
    clock_init(&clock);
    cr_assert_gt(clock.wall_ms, 1600000000000);
    const uint64_t first = clock.mono_ns;
    clock_update(&clock);
    cr_assert_geq(clock.mono_ns, first);
    clock.read = test_clock_read;
    clock.wall_ms = 0;
    test_wall_ms = 1000;
    clock_update(&clock);
    test_wall_ms = 500;
    clock_update(&clock);
    cr_assert_eq(clock.wall_ms, 1000);
    test_wall_ms = 1001;
    clock_update(&clock);
    cr_assert_eq(clock.wall_ms, 1001);
}

Test(list, order_and_removal)
{
    struct list head, a, b, c;
    list_init(&head);
    list_init(&a);
    list_init(&b);
    list_init(&c);
    list_append(&head, &a);
    list_append(&head, &b);
    list_append(&head, &c);
    list_remove(&b);
    list_remove(&b);
    cr_assert_not(list_linked(&b));
    cr_assert_eq(list_pop(&head), &a);
    cr_assert_eq(list_pop(&head), &c);
    cr_assert_null(list_pop(&head));
}

/* Everything written to stderr between the calls. */
struct capture {
    int saved, read_end;
};

static struct capture capture_start(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    struct capture c = { dup(STDERR_FILENO), ends[0] };
    fflush(stderr);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return c;
}

static size_t capture_end(struct capture c, char *out, size_t out_bytes)
{
    size_t n = 0;
    dup2(c.saved, STDERR_FILENO);
    close(c.saved);
    for (ssize_t got; n < out_bytes - 1 && (got = read(c.read_end, out + n, out_bytes - 1 - n)) > 0;)
        n += (size_t)got;
    out[n] = '\0';
    close(c.read_end);
    return n;
}

/* The line after its time stamp. */
static const char *after_time(const char *line)
{
    const char *level = strstr(line, "level");
    cr_assert_not_null(level);
    return level;
}

Test(diag, logfmt)
{
    char text[1024];
    const struct capture c = capture_start();
    diag(DIAG_INFO, "journal", "recovered it", DIAG_KU("commits", 12), DIAG_KI("delta", -3),
         DIAG_KS("plain", "a/b.c"), DIAG_KS("quoted", "a \"b\" \\c=\n\x01\xff"), DIAG_KS("empty", ""),
         DIAG_KS("none", NULL));
    diag(DIAG_DEBUG, "journal", "not shown");
    capture_end(c, text, sizeof(text));
    cr_assert_eq(strncmp(text, "ts=2", 4), 0, "%s", text);
    cr_assert_eq(text[26], 'Z', "%s", text);
    cr_assert_str_eq(after_time(text), "level=info room=journal msg=\"recovered it\" commits=12 delta=-3 "
                                       "plain=a/b.c quoted=\"a \\\"b\\\" \\\\c=\\n\\u0001\xef\xbf\xbd\" "
                                       "empty=\"\" none=\"\"\n");
}

Test(diag, json)
{
    char text[1024];
    diag_set_format(DIAG_JSON);
    const struct capture c = capture_start();
    diag(DIAG_ERROR, "net", "bad", DIAG_KU("n", UINT64_MAX), DIAG_KS("s", "\xc3\xa9\t\"\xed\xa0\x80"));
    capture_end(c, text, sizeof(text));
    cr_assert_eq(strncmp(text, "{\"ts\":\"2", 8), 0, "%s", text);
    cr_assert_str_eq(after_time(text), "level\":\"error\",\"room\":\"net\",\"msg\":\"bad\",\"n\":"
                                       "18446744073709551615,\"s\":\"\xc3\xa9\\t\\\"\xef\xbf\xbd\xef\xbf\xbd"
                                       "\xef\xbf\xbd\"}\n");
}

Test(diag, a_long_line_is_cut_and_stays_one_line)
{
    static char text[16384], value[9000];
    memset(value, '"', sizeof(value) - 1);
    diag_set_format(DIAG_JSON);
    const struct capture c = capture_start();
    diag(DIAG_WARN, "api", "long", DIAG_KS("v", value), DIAG_KS("after", "lost"));
    const size_t n = capture_end(c, text, sizeof(text));
    cr_assert_leq(n, 4096);
    cr_assert_str_eq(text + n - 6, "...\"}\n");
    cr_assert_null(strstr(text, "after"));
}

static void repeat(void)
{
    diag(DIAG_WARN, "net", "again");
}

Test(diag, a_repeating_site_is_limited)
{
    static char text[65536];
    const struct capture c = capture_start();
    for (unsigned i = 0; i < 1000; i++)
        repeat();
    capture_end(c, text, sizeof(text));
    unsigned lines = 0;
    for (const char *s = text; *s; s++)
        lines += *s == '\n';
    /* a slow machine may have started a second window */
    cr_assert(lines >= DIAG_BURST && lines <= 5 * DIAG_BURST, "%u lines", lines);
}

Test(diag, what_was_held_back_is_counted)
{
    char text[4096];
    struct diag_site site = { .window_ns = 0, .lines = DIAG_BURST, .suppressed = 41 };
    const struct capture c = capture_start();
    diag_write(&site, DIAG_WARN, "net", "again", NULL, 0);
    capture_end(c, text, sizeof(text));
    cr_assert_str_eq(after_time(text), "level=warn room=net msg=again suppressed=41\n");
}

static void *writer(void *arg)
{
    for (unsigned i = 0; i < 200; i++) {
        struct diag_site site = { 0 };
        const struct diag_pair pair = DIAG_KU("n", i);
        diag_write(&site, DIAG_WARN, arg, "from a thread", &pair, 1);
    }
    return NULL;
}

static void *reader(void *arg)
{
    char *out = arg;
    int fd;
    memcpy(&fd, out, sizeof(fd));
    size_t n = 0;
    for (ssize_t got; (got = read(fd, out + n, 1000000 - n)) > 0;)
        n += (size_t)got;
    out[n] = '\0';
    return NULL;
}

Test(diag, lines_of_several_threads_do_not_mix)
{
    static char text[1000001];
    pthread_t threads[4], read_thread;
    struct capture c = capture_start();
    memcpy(text, &c.read_end, sizeof(int));
    pthread_create(&read_thread, NULL, reader, text);
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, writer, i % 2 ? "net" : "api");
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    dup2(c.saved, STDERR_FILENO);
    close(c.saved);
    pthread_join(read_thread, NULL);
    close(c.read_end);
    unsigned lines = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        *end = '\0';
        cr_assert_eq(strncmp(line, "ts=", 3), 0, "%s", line);
        cr_assert_null(strstr(line + 1, "ts="), "%s", line);
    }
    cr_assert(lines > 0 && lines <= 800, "%u", lines);
}

Test(diag, levels_by_name)
{
    enum diag_level level;
    cr_assert(diag_level_parse("error", &level));
    cr_assert_eq(level, DIAG_ERROR);
    cr_assert_not(diag_level_parse("loud", &level));
}
