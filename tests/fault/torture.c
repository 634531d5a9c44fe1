/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/fault/torture.c: runneld is killed again and again under load, at random moments and during recovery;
 * what it acknowledged must be there: present once, same bytes, same offset, in its producer's order; and an
 * offset never names two contents.
 *
 *   torture --runneld PATH --dir DIR [--kills N] [--seed S] [--power CTL] [--acks durable] [--topics N]
 *
 * With --power the directory lies on powerfs (same folder), CTL is its control file, and every kill is a
 * power cut: what was not flushed is lost, wholly or in part. Producers are idempotent and go on over all
 * crashes by themselves, through the client library; so each event must be stored exactly once. Prints the
 * seed first and one line at the end; exit 1 with a sentence when a promise was broken.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <runnel.h>

enum {
    PRODUCERS = 3,
    PARTITIONS = 4,
    QUEUED_MAX = 400, /* events of a producer not yet acknowledged */
    VALUE_BYTES_MAX = 3000,
    EVENTS_MAX = 4 << 20,
    START_TIMEOUT_MS = 20000,
};

struct options {
    const char *runneld, *dir, *power, *acks;
    uint64_t kills, seed;
};

/* What is known of one event: of producer i, number n. */
struct event {
    int64_t offset; /* acknowledged at; -1: not (yet) */
    bool seen;      /* read back */
};

struct source {
    runnel_client *client;
    runnel_producer *producer;
    struct event *events;
    uint64_t next;                  /* number of the next event */
    uint64_t read_next[PARTITIONS]; /* verifying: the least number that may come next */
};

struct torture {
    struct options options;
    pid_t broker;
    int broker_out;
    char url[256];
    uint64_t random;
    struct source sources[PRODUCERS];
    uint64_t acked, restarts;
    uint32_t *contents[PARTITIONS]; /* checksum of the content first read at each offset */
    uint64_t contents_room[PARTITIONS];
};

static _Noreturn void fail(const struct torture *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "torture: seed %" PRIu64 ", after %" PRIu64 " restarts: ", t->options.seed, t->restarts);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    if (t->broker > 0)
        kill(t->broker, SIGKILL);
    exit(1);
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint32_t draw(struct torture *t, uint32_t below)
{
    t->random = t->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((t->random >> 33) % below);
}

/* ---- the broker ---- */

static void broker_start(struct torture *t)
{
    int out[2];
    char listen[300];
    snprintf(listen, sizeof(listen), "%s", t->url);
    if (pipe(out) < 0)
        fail(t, "pipe: %s", strerror(errno));
    t->broker = fork();
    if (t->broker == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        setenv("RUNNEL_LOG_LEVEL", "error", 1);
        setenv("RUNNEL_DISK_RESERVE_BYTES", "0", 1);
        /* Small, so that every part is exercised often: many turns of the journal, many segments. */
        setenv("RUNNEL_JOURNAL_FILES_MAX", "4", 1);
        setenv("RUNNEL_JOURNAL_FILE_BYTES", "8MiB", 1);
        setenv("RUNNEL_TAILS_BYTES", "8MiB", 1);
        setenv("RUNNEL_TOPIC_SEGMENT_BYTES", "4MiB", 1);
        execl(t->options.runneld, "runneld", "--data", t->options.dir, "--listen", listen, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    fcntl(out[0], F_SETFD, FD_CLOEXEC);
    t->broker_out = out[0];
}

/* Waits for `ready`; false when the broker ended instead. */
static bool broker_ready(struct torture *t)
{
    char line[512];
    size_t have = 0;
    uint64_t end = now_ms() + START_TIMEOUT_MS;
    while (have < sizeof(line) - 1) {
        struct pollfd p = { .fd = t->broker_out, .events = POLLIN };
        uint64_t now = now_ms();
        if (now >= end || poll(&p, 1, (int)(end - now)) <= 0)
            fail(t, "the broker was not ready within %d s", START_TIMEOUT_MS / 1000);
        ssize_t n = read(t->broker_out, line + have, sizeof(line) - 1 - have);
        if (n <= 0)
            return false;
        have += (size_t)n;
        line[have] = 0;
        if (strchr(line, '\n'))
            return strncmp(line, "ready", 5) == 0;
    }
    return false;
}

static void power(struct torture *t, const char *command)
{
    int fd = open(t->options.power, O_WRONLY);
    if (fd < 0 || write(fd, command, strlen(command)) < 0)
        fail(t, "%s: %s", t->options.power, strerror(errno));
    close(fd);
}

static void broker_kill(struct torture *t)
{
    if (t->options.power) {
        /* Stopped first: a broker without power cannot tell anybody that its writes fail. */
        kill(t->broker, SIGSTOP);
        static const char *const modes[] = { "none", "all", "rand", "sect", "prefix" };
        const char *mode = modes[draw(t, 5)];
        char command[64];
        if (strcmp(mode, "prefix") == 0)
            snprintf(command, sizeof(command), "cut prefix %u %u", draw(t, 8), draw(t, 4096));
        else if (mode[0] == 'r' || mode[0] == 's')
            snprintf(command, sizeof(command), "cut %s %u", mode, draw(t, 1u << 30));
        else
            snprintf(command, sizeof(command), "cut %s", mode);
        power(t, command);
    }
    kill(t->broker, SIGKILL);
    waitpid(t->broker, NULL, 0);
    close(t->broker_out);
    t->broker = 0;
    if (t->options.power)
        power(t, "heal");
    t->restarts++;
}

/* Starts it until it is ready; now and then it is killed in the middle of recovery. */
static void broker_recover(struct torture *t)
{
    for (;;) {
        broker_start(t);
        if (draw(t, 10) < 3) {
            struct pollfd p = { .fd = t->broker_out, .events = POLLIN };
            poll(&p, 1, (int)draw(t, 15));
            broker_kill(t);
            continue;
        }
        if (broker_ready(t))
            return;
        int status;
        waitpid(t->broker, &status, 0);
        t->broker = 0;
        fail(t, "the broker did not start again: status %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
}

/* ---- contents ---- */

/* "<producer>/<number>/<partition>/" and bytes that follow from it. */
static size_t event_value(uint8_t *out, uint32_t producer, uint64_t number, uint32_t partition, uint64_t seed)
{
    int n = snprintf((char *)out, 64, "%u/%" PRIu64 "/%u/", producer, number, partition);
    uint64_t x = (seed ^ number) * 0x9e3779b97f4a7c15u + producer + 1;
    size_t len = (size_t)n + x % (x % 16 == 0 ? VALUE_BYTES_MAX : 200);
    for (size_t i = (size_t)n; i < len; i++) {
        x = x * 6364136223846793005u + 1;
        out[i] = (uint8_t)(x >> 56);
    }
    return len;
}

static uint32_t content_sum(const uint8_t *p, size_t len)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 16777619u;
    return h | 1; /* never 0: that is "not read yet" */
}

/* ---- producing ---- */

static void delivered(void *ctx, const struct runnel_delivery *d)
{
    struct torture *t = ctx;
    uint64_t packed = (uint64_t)(uintptr_t)d->opaque;
    uint32_t producer = (uint32_t)(packed >> 48);
    uint64_t number = packed & 0xffffffffffffu;
    struct event *e = &t->sources[producer].events[number];
    if (d->error)
        fail(t, "event %u/%" PRIu64 " failed: %s", producer, number, d->error_text ? d->error_text : "?");
    if (e->offset != -1)
        fail(t, "event %u/%" PRIu64 " was reported twice", producer, number);
    if (d->partition != (int32_t)(number % PARTITIONS))
        fail(t, "event %u/%" PRIu64 " was reported in partition %d", producer, number, d->partition);
    e->offset = d->offset;
    t->acked++;
}

static runnel_client *connect_client(struct torture *t)
{
    runnel_options *o = runnel_options_new();
    runnel_options_set(o, "reconnect.backoff.ms", "1");
    runnel_options_set(o, "reconnect.backoff.max.ms", "20");
    runnel_client *c = runnel_connect(t->url, o);
    runnel_options_free(o);
    if (!c)
        fail(t, "connecting: %s", runnel_last_error(NULL)->text);
    return c;
}

static void sources_open(struct torture *t)
{
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        struct source *s = &t->sources[i];
        s->client = connect_client(t);
        if (i == 0 && runnel_topic_create(s->client, "torture", PARTITIONS, NULL, 0, 1) < 0)
            fail(t, "creating the topic: %s", runnel_last_error(s->client)->text);
        s->events = malloc(EVENTS_MAX * sizeof(*s->events));
        for (uint64_t n = 0; n < EVENTS_MAX; n++)
            s->events[n] = (struct event){ .offset = -1 };
        s->producer = runnel_producer_new(s->client, "torture", NULL, delivered, t);
        if (!s->producer)
            fail(t, "opening a producer: %s", runnel_last_error(s->client)->text);
    }
}

static void source_feed(struct torture *t, uint32_t i)
{
    static uint8_t value[VALUE_BYTES_MAX + 64];
    struct source *s = &t->sources[i];
    uint32_t burst = 1 + draw(t, 40);
    for (uint32_t b = 0; b < burst && runnel_queued(s->producer) < QUEUED_MAX && s->next < EVENTS_MAX; b++) {
        struct runnel_event event = RUNNEL_EVENT_INIT;
        event.partition = (int32_t)(s->next % PARTITIONS);
        event.value = value;
        event.value_len = event_value(value, i, s->next, (uint32_t)event.partition, t->options.seed);
        uintptr_t opaque = (uintptr_t)((uint64_t)i << 48 | s->next);
        int result = runnel_produce(s->producer, &event, (void *)opaque);
        if (result == -RUNNEL_E_QUEUE_FULL)
            return;
        if (result < 0)
            fail(t, "producing: %s", runnel_last_error(s->client)->text);
        s->next++;
    }
}

/* Feeds all producers for so long. */
static void load(struct torture *t, uint64_t ms)
{
    uint64_t end = now_ms() + ms;
    do {
        struct pollfd fds[PRODUCERS];
        for (uint32_t i = 0; i < PRODUCERS; i++) {
            source_feed(t, i);
            if (runnel_process(t->sources[i].client) < 0)
                fail(t, "client %u gave up: %s", i, runnel_last_error(t->sources[i].client)->text);
            fds[i] = (struct pollfd){ .fd = runnel_fd(t->sources[i].client),
                                      .events = (short)runnel_events(t->sources[i].client) };
        }
        poll(fds, PRODUCERS, 1);
    } while (now_ms() < end);
}

/* ---- verifying ---- */

static void verify_content(struct torture *t, const struct runnel_record *r)
{
    uint32_t p = (uint32_t)r->partition;
    uint64_t offset = (uint64_t)r->offset;
    if (offset >= t->contents_room[p]) {
        uint64_t room = t->contents_room[p] ? t->contents_room[p] : 1 << 16;
        while (room <= offset)
            room *= 2;
        t->contents[p] = realloc(t->contents[p], room * sizeof(uint32_t));
        memset(t->contents[p] + t->contents_room[p], 0, (room - t->contents_room[p]) * sizeof(uint32_t));
        t->contents_room[p] = room;
    }
    uint32_t sum = content_sum(r->value, r->value_len);
    if (t->contents[p][offset] && t->contents[p][offset] != sum)
        fail(t, "partition %u offset %" PRIu64 " names two contents", p, offset);
    t->contents[p][offset] = sum;
}

static void verify_record(struct torture *t, const struct runnel_record *r)
{
    static uint8_t expected[VALUE_BYTES_MAX + 64];
    unsigned producer, partition;
    uint64_t number;
    char head[64] = { 0 };
    memcpy(head, r->value, r->value_len < 63 ? r->value_len : 63);
    if (sscanf(head, "%u/%" SCNu64 "/%u/", &producer, &number, &partition) != 3 || producer >= PRODUCERS ||
        number >= t->sources[producer].next || partition != (uint32_t)r->partition)
        fail(t, "partition %d offset %" PRId64 " holds an event that was never sent", r->partition,
             r->offset);
    struct source *s = &t->sources[producer];
    size_t len = event_value(expected, producer, number, partition, t->options.seed);
    if (len != r->value_len || memcmp(expected, r->value, len) != 0)
        fail(t, "event %u/%" PRIu64 " came back with other bytes", producer, number);
    struct event *e = &s->events[number];
    if (e->seen)
        fail(t, "event %u/%" PRIu64 " is stored twice", producer, number);
    if (e->offset != -1 && e->offset != r->offset)
        fail(t, "event %u/%" PRIu64 " was acknowledged at offset %" PRId64 " and is at %" PRId64, producer,
             number, e->offset, r->offset);
    if (number < s->read_next[partition])
        fail(t, "event %u/%" PRIu64 " is behind a later one of its producer", producer, number);
    s->read_next[partition] = number + 1;
    e->seen = true;
    verify_content(t, r);
}

/* Reads everything from the start and holds it against what was sent and acknowledged. Returns the events
 * read. */
static uint64_t verify(struct torture *t)
{
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        memset(t->sources[i].read_next, 0, sizeof(t->sources[i].read_next));
        for (uint64_t n = 0; n < t->sources[i].next; n++)
            t->sources[i].events[n].seen = false;
    }
    runnel_client *c = connect_client(t);
    runnel_options *o = runnel_options_new();
    runnel_options_set(o, "from", "start");
    runnel_consumer *consumer = runnel_consumer_new(c, "torture", o);
    runnel_options_free(o);
    if (!consumer)
        fail(t, "subscribing: %s", runnel_last_error(c)->text);
    uint64_t events = 0, next[PARTITIONS] = { 0 };
    while (!runnel_at_end(consumer, 0)) {
        struct runnel_record r;
        int got = runnel_next(consumer, &r, 10000);
        if (got <= 0)
            fail(t, "reading stopped after %" PRIu64 " events: %s", events,
                 got ? runnel_last_error(c)->text : "time-out");
        if ((uint64_t)r.offset != next[r.partition]++)
            fail(t, "partition %d: offset %" PRId64 " came where %" PRIu64 " was due", r.partition, r.offset,
                 next[r.partition] - 1);
        verify_record(t, &r);
        events++;
    }
    runnel_consumer_close(consumer);
    runnel_close(c, 0);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        for (uint64_t n = 0; n < t->sources[i].next; n++)
            if (t->sources[i].events[n].offset != -1 && !t->sources[i].events[n].seen)
                fail(t,
                     "event %u/%" PRIu64 " was acknowledged at offset %" PRId64 " of partition %" PRIu64
                     " and is missing",
                     i, n, t->sources[i].events[n].offset, n % PARTITIONS);
    return events;
}

/* ---- main ---- */

static void options_parse(struct torture *t, int argc, char **argv)
{
    struct options *o = &t->options;
    const char *kills = getenv("RUNNEL_KILLS");
    o->kills = kills ? strtoull(kills, NULL, 10) : 40;
    o->seed = (uint64_t)time(NULL) ^ ((uint64_t)getpid() << 20);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--runneld") == 0)
            o->runneld = argv[i + 1];
        else if (strcmp(argv[i], "--dir") == 0)
            o->dir = argv[i + 1];
        else if (strcmp(argv[i], "--power") == 0)
            o->power = argv[i + 1];
        else if (strcmp(argv[i], "--kills") == 0)
            o->kills = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            o->seed = strtoull(argv[i + 1], NULL, 10);
    }
    if (!o->runneld || !o->dir) {
        fprintf(stderr, "usage: torture --runneld PATH --dir DIR [--kills N] [--seed S] [--power CTL]\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static struct torture t;
    options_parse(&t, argc, argv);
    t.random = t.options.seed;
    printf("torture: seed %" PRIu64 "\n", t.options.seed);
    fflush(stdout);
    char socket_dir[] = "/tmp/runnel-torture-XXXXXX";
    if (!mkdtemp(socket_dir))
        fail(&t, "mkdtemp: %s", strerror(errno));
    snprintf(t.url, sizeof(t.url), "unix:%s/s", socket_dir);

    broker_start(&t);
    if (!broker_ready(&t))
        fail(&t, "the broker did not start");
    sources_open(&t);
    for (uint64_t k = 0; k < t.options.kills; k++) {
        load(&t, draw(&t, 8) ? draw(&t, 40) : draw(&t, 400));
        broker_kill(&t);
        broker_recover(&t);
        if (k % 20 == 19)
            verify(&t);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        if (runnel_flush(t.sources[i].producer, 30000) < 0)
            fail(&t, "flushing: %s", runnel_last_error(t.sources[i].client)->text);
    uint64_t events = verify(&t), sent = 0;
    for (uint32_t i = 0; i < PRODUCERS; i++)
        sent += t.sources[i].next;
    if (events != sent || t.acked != sent)
        fail(&t, "%" PRIu64 " events sent, %" PRIu64 " acknowledged, %" PRIu64 " stored", sent, t.acked,
             events);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        runnel_close(t.sources[i].client, 0);
    kill(t.broker, SIGTERM);
    int status;
    waitpid(t.broker, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail(&t, "the broker did not stop cleanly");
    unlink(t.url + 5);
    rmdir(socket_dir);
    printf("torture: %" PRIu64 " restarts, %" PRIu64
           " events acknowledged, 0 lost, 0 doubled, 0 out of order\n",
           t.restarts, t.acked);
    return 0;
}
