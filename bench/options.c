/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/options.c: see the header. One table row per option.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "runnel-bench COMMAND [OPTION]...\n"
    "\n"
    "Commands\n"
    "  limits    what this machine can do at best: loopback, disk\n"
    "  publish   publish events; latency of acknowledgements, throughput\n"
    "  e2e       publish to a live subscriber; every event is checked\n"
    "  consume   read stored events from the start (--mode history|memory), or as they come (--mode live)\n"
    "  scale     publish at a rate over 1 to 10,000 partitions and connections, 1 to 1,000 topics\n"
    "  rebalance how long partitions of a group are not consumed when a member dies, and when one joins "
    "(runnel)\n"
    "  redrive   give back dead letters, with the command runnel beside this program (runnel)\n"
    "  compare   start every broker installed here, measure all alternately, print medians and ratios\n"
    "\n"
    "Options\n"
    "  --driver NAME      runnel (default), librunnel, redis, nats, kafka\n"
    "  --url URL          tcp://HOST:PORT or unix:PATH of the broker\n"
    "  --topic NAME       use this topic and keep it (default: a new one, deleted afterwards)\n"
    "  --topics N         publish to N topics (1)\n"
    "  --partitions N     of each topic (1; rebalance: 300)\n"
    "  --connections N    that publish (1)\n"
    "  --idle N           further connections that do nothing (0)\n"
    "  --size BYTES       of a payload (256)\n"
    "  --rate N           events a second, open loop (default: closed loop)\n"
    "  --in-flight N      unanswered events on each connection, closed loop (1000)\n"
    "  --batch N          events a request (1)\n"
    "  --acks MODE        durable (default), memory, none\n"
    "  --duration S       measure for S seconds (5)\n"
    "  --warmup S         before measuring (1)\n"
    "  --events N         publish N events instead of for a time; consume: store and read so many; redrive:\n"
    "                     so many dead letters (100k)\n"
    "  --mode MODE        consume: history (default), memory, live\n"
    "  --group            consumers belong to a group and acknowledge every event\n"
    "  --shared           a group whose members compete for events (runnel)\n"
    "  --envelope         publish: events with an envelope and bare ones of the same size in turn "
    "(librunnel)\n"
    "  --ids              each event has an id of its own, 36 characters in a header (runnel)\n"
    "  --dedupe           the same, and topics have a duplicate window (runnel)\n"
    "  --passes N         consume: read all so many times (memory: 20, history: 1)\n"
    "  --members N        rebalance: of the group (100)\n"
    "  --rounds N         rebalance: kill one and have one join so many times (10)\n"
    "  --spin             the generator never sleeps\n"
    "  --pid PID          the broker's process, when it cannot be found from the connection\n"
    "  --dir DIR          limits, compare: where to put files (the current directory)\n"
    "  --runneld PATH     compare: the broker (beside this program)\n"
    "  --only NAME,...    compare: only these scenarios; scale: partitions, connections or topics\n"
    "  --quick            compare, scale, limits: short runs\n"
    "  --runs N           compare, --envelope: alternating runs of each (3)\n"
    "  --history-mb N     compare: history that one consumer reads (2000)\n"
    "  --svg DIR          compare: write plots there\n"
    "  -o table|json      output (table)\n";

_Noreturn static void wrong(const char *what, const char *value, const char *fix)
{
    fprintf(stderr, "error: %s%s%s: %s\n", what, value ? " " : "", value ? value : "", fix);
    exit(2);
}

static double number(const char *name, const char *value, double least, double most)
{
    char *end;
    errno = 0;
    double n = strtod(value, &end);
    if (end == value || errno || (*end && strcmp(end, "k") != 0 && strcmp(end, "M") != 0))
        wrong(name, value, "expected a number, possibly with k or M behind it");
    n *= *end == 'k' ? 1e3 : *end == 'M' ? 1e6 : 1;
    if (n < least || n > most) {
        char fix[80];
        snprintf(fix, sizeof(fix), "expected %.10g to %.10g", least, most);
        wrong(name, value, fix);
    }
    return n;
}

/* Position of `value` in a list that ends with NULL. */
static int choice(const char *name, const char *value, const char *const *list, const char *expected)
{
    for (int i = 0; list[i]; i++)
        if (strcmp(list[i], value) == 0)
            return i;
    wrong(name, value, expected);
}

enum {
    OPT_DRIVER = 256,
    OPT_URL,
    OPT_TOPIC,
    OPT_TOPICS,
    OPT_PARTITIONS,
    OPT_CONNECTIONS,
    OPT_IDLE,
    OPT_SIZE,
    OPT_RATE,
    OPT_IN_FLIGHT,
    OPT_BATCH,
    OPT_ACKS,
    OPT_DURATION,
    OPT_WARMUP,
    OPT_EVENTS,
    OPT_MODE,
    OPT_PASSES,
    OPT_MEMBERS,
    OPT_ROUNDS,
    OPT_SPIN,
    OPT_GROUP,
    OPT_SHARED,
    OPT_ENVELOPE,
    OPT_IDS,
    OPT_DEDUPE,
    OPT_PID,
    OPT_DIR,
    OPT_RUNNELD,
    OPT_ONLY,
    OPT_QUICK,
    OPT_RUNS,
    OPT_HISTORY_MB,
    OPT_SVG
};

static const struct option table[] = {
    { "driver", required_argument, NULL, OPT_DRIVER },
    { "url", required_argument, NULL, OPT_URL },
    { "topic", required_argument, NULL, OPT_TOPIC },
    { "topics", required_argument, NULL, OPT_TOPICS },
    { "partitions", required_argument, NULL, OPT_PARTITIONS },
    { "connections", required_argument, NULL, OPT_CONNECTIONS },
    { "idle", required_argument, NULL, OPT_IDLE },
    { "size", required_argument, NULL, OPT_SIZE },
    { "rate", required_argument, NULL, OPT_RATE },
    { "in-flight", required_argument, NULL, OPT_IN_FLIGHT },
    { "batch", required_argument, NULL, OPT_BATCH },
    { "acks", required_argument, NULL, OPT_ACKS },
    { "duration", required_argument, NULL, OPT_DURATION },
    { "warmup", required_argument, NULL, OPT_WARMUP },
    { "events", required_argument, NULL, OPT_EVENTS },
    { "mode", required_argument, NULL, OPT_MODE },
    { "passes", required_argument, NULL, OPT_PASSES },
    { "members", required_argument, NULL, OPT_MEMBERS },
    { "rounds", required_argument, NULL, OPT_ROUNDS },
    { "spin", no_argument, NULL, OPT_SPIN },
    { "group", no_argument, NULL, OPT_GROUP },
    { "shared", no_argument, NULL, OPT_SHARED },
    { "envelope", no_argument, NULL, OPT_ENVELOPE },
    { "ids", no_argument, NULL, OPT_IDS },
    { "dedupe", no_argument, NULL, OPT_DEDUPE },
    { "pid", required_argument, NULL, OPT_PID },
    { "dir", required_argument, NULL, OPT_DIR },
    { "runneld", required_argument, NULL, OPT_RUNNELD },
    { "only", required_argument, NULL, OPT_ONLY },
    { "quick", no_argument, NULL, OPT_QUICK },
    { "runs", required_argument, NULL, OPT_RUNS },
    { "history-mb", required_argument, NULL, OPT_HISTORY_MB },
    { "svg", required_argument, NULL, OPT_SVG },
    { "output", required_argument, NULL, 'o' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

static uint32_t count(const char *name, const char *value, uint32_t most)
{
    return (uint32_t)number(name, value, 1, most);
}

static void take_load(struct options *o, int option, const char *v)
{
    static const char *const acks[] = { "none", "memory", "durable", NULL };
    static const char *const modes[] = { "history", "memory", "live", NULL };
    switch (option) {
    case OPT_TOPICS:
        o->topics = count("--topics", v, 10000);
        break;
    case OPT_PARTITIONS:
        o->partitions = count("--partitions", v, 10000);
        break;
    case OPT_CONNECTIONS:
        o->connections = count("--connections", v, 20000);
        break;
    case OPT_IDLE:
        o->idle = (uint32_t)number("--idle", v, 0, 50000);
        break;
    case OPT_SIZE:
        o->size = (uint32_t)number("--size", v, PAYLOAD_MIN, PAYLOAD_MAX);
        break;
    case OPT_RATE:
        o->rate = number("--rate", v, 1, 1e8);
        break;
    case OPT_IN_FLIGHT:
        o->in_flight = count("--in-flight", v, 1 << 20);
        break;
    case OPT_BATCH:
        o->batch = count("--batch", v, 65536);
        break;
    case OPT_ACKS:
        o->acks = (enum acks)choice("--acks", v, acks, "expected durable, memory or none");
        break;
    case OPT_DURATION:
        o->duration_s = number("--duration", v, .1, 86400);
        break;
    case OPT_WARMUP:
        o->warmup_s = number("--warmup", v, 0, 3600);
        break;
    case OPT_EVENTS:
        o->events = (uint64_t)number("--events", v, 1, 1e12);
        break;
    case OPT_MODE:
        o->mode = (enum history_mode)choice("--mode", v, modes, "expected history, memory or live");
        break;
    case OPT_PASSES:
        o->passes = count("--passes", v, 100000);
        break;
    case OPT_MEMBERS:
        o->members = (uint32_t)number("--members", v, 2, 1000);
        break;
    case OPT_ROUNDS:
        o->rounds = count("--rounds", v, 1000);
        break;
    case OPT_DEDUPE:
        o->dedupe = true;
        /* fall through */
    case OPT_IDS:
        o->ids = true;
        break;
    }
}

static void take(struct options *o, int option, const char *v)
{
    static const char *const outputs[] = { "table", "json", NULL };
    switch (option) {
    case OPT_DRIVER:
        o->driver = driver_find(v);
        if (!o->driver)
            wrong("--driver", v, "expected runnel, librunnel, redis, nats or kafka");
        break;
    case OPT_URL:
        o->url = v;
        break;
    case OPT_TOPIC:
        o->topic = v;
        break;
    case OPT_SPIN:
        o->spin = true;
        break;
    case OPT_GROUP:
        o->group = true;
        break;
    case OPT_SHARED:
        o->shared = true;
        break;
    case OPT_ENVELOPE:
        o->envelope = true;
        break;
    case OPT_PID:
        o->pid = (pid_t)number("--pid", v, 1, 1 << 30);
        break;
    case OPT_DIR:
        o->dir = v;
        break;
    case OPT_RUNNELD:
        o->runneld = v;
        break;
    case OPT_ONLY:
        o->only = v;
        break;
    case OPT_QUICK:
        o->quick = true;
        break;
    case OPT_RUNS:
        o->runs = count("--runs", v, 99);
        break;
    case OPT_HISTORY_MB:
        o->history_mb = (uint64_t)number("--history-mb", v, 10, 1e7);
        break;
    case OPT_SVG:
        o->svg = v;
        break;
    case 'o':
        o->json = choice("--output", v, outputs, "expected table or json") == 1;
        break;
    default:
        take_load(o, option, v);
    }
}

void options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){ .driver = &driver_runnel,
                           .dir = ".",
                           .acks = ACKS_DURABLE,
                           .size = 256,
                           .in_flight = 1000,
                           .batch = 1,
                           .topics = 1,
                           .connections = 1,
                           .runs = 3,
                           .members = 100,
                           .rounds = 10,
                           .duration_s = 5,
                           .warmup_s = 1,
                           .history_mb = 2000 };
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "o:hV", table, NULL)) != -1;) {
        if (c == '?')
            wrong("option", argv[optind - 1], "unknown, or its value is missing; see runnel-bench --help");
        if (c == 'h' || c == 'V') {
            fputs(c == 'h' ? usage : "runnel-bench " RUNNEL_VERSION "\n", stdout);
            exit(0);
        }
        take(o, c, optarg);
    }
    if (optind + 1 != argc)
        wrong("usage", NULL,
              "runnel-bench limits|publish|e2e|consume|scale|rebalance|redrive|compare [OPTION]...; see "
              "--help");
    o->command = argv[optind];
    const bool runnel_only = strcmp(o->command, "rebalance") == 0 || strcmp(o->command, "redrive") == 0;
    if (runnel_only && o->driver != &driver_runnel && o->driver != &driver_librunnel)
        wrong(o->command, NULL, "only Runnel's own driver does this: leave --driver out");
    if (runnel_only && o->shared)
        wrong("--shared", NULL, "the group of this command is what it is: leave it out");
    if (runnel_only && !o->url)
        o->url = o->driver->url;
    if (!o->partitions)
        o->partitions = strcmp(o->command, "rebalance") == 0 ? 300 : 1;
    if (o->batch > o->driver->batch_max)
        wrong("--batch", NULL, "this broker's protocol has no batches: use --in-flight");
    if (o->envelope)
        o->driver = &driver_librunnel; /* the one that fills envelopes in */
    if ((o->group || o->shared) && !o->driver->groups)
        wrong("--group", NULL, "this driver knows no groups: leave it out");
    if (o->ids && o->driver != &driver_runnel)
        wrong("--ids", NULL, "only the driver runnel gives events ids: leave it out");
    if (o->batch > o->in_flight)
        o->in_flight = o->batch;
    if ((uint64_t)o->topics * o->partitions > 1000000)
        wrong("--partitions", NULL, "at most a million lanes (topics x partitions)");
}
