/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/parse.h"

enum {
    TOPICS_COMPARED_MAX = 4096, /* names that did-you-mean looks at: more would be slower than it is useful */
};

/* ---- memory and time ---- */

void *cli_realloc(void *at, size_t n)
{
    void *memory = realloc(at, n ? n : 1);

    if (!memory) {
        cli_fail(EXIT_FAILED, NULL, "free some memory", "out of memory (%zu bytes)", n);
        exit(EXIT_FAILED);
    }
    return memory;
}

void *cli_alloc(size_t n)
{
    return memset(cli_realloc(NULL, n), 0, n);
}

void *cli_copy(const void *at, size_t n)
{
    void *memory = cli_realloc(NULL, n);

    if (n)
        memcpy(memory, at, n);
    return memory;
}

char *cli_keep(const char *text)
{
    static struct kept {
        struct kept *next;
        char text[];
    } * all; /* only so that a leak checker sees them */
    const size_t len = strlen(text) + 1;
    struct kept *kept = cli_realloc(NULL, sizeof(*kept) + len);

    kept->next = all;
    all = kept;
    return memcpy(kept->text, text, len);
}

static int64_t clock_ms(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t cli_now_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int64_t cli_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

/* ---- failing ---- */

/* One line, whatever was in it; no full stop, because more follows. */
static void one_line(char *text)
{
    size_t len;

    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    }
    len = strlen(text);
    while (len && (text[len - 1] == '.' || text[len - 1] == ' '))
        text[--len] = '\0';
}

static const char *command_words = ""; /* " topic create" */

void cli_name_command(const char *words)
{
    command_words = words;
}

int cli_fail(int code, const char *where, const char *fix, const char *what, ...)
{
    char text[2048];
    va_list args;

    va_start(args, what);
    vsnprintf(text, sizeof(text), what, args);
    va_end(args);
    one_line(text);
    fprintf(stderr, "error: %s (%s%s)%s%s\n", text, where ? "" : "runnel", where ? where : command_words,
            *fix ? ": " : "", fix);
    return code;
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->quiet)
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int cli_exit_of(int error)
{
    static const struct {
        const char *name;
        int code;
    } exits[] = {
        { "TOPIC_NOT_FOUND", EXIT_NOT_FOUND },
        { "PARTITION_NOT_FOUND", EXIT_NOT_FOUND },
        { "OFFSET_OUT_OF_RANGE", EXIT_NOT_FOUND },
        { "TOPIC_NAME_INVALID", EXIT_USAGE },
        { "TOPIC_CONFIG_INVALID", EXIT_USAGE },
        { "PARTITIONS_INVALID", EXIT_USAGE },
        { "CLIENT_ARGUMENT", EXIT_USAGE },
        { "TOPIC_EXISTS", EXIT_REFUSED },
        { "TOPIC_INTERNAL", EXIT_REFUSED },
        { "LIMIT_REACHED", EXIT_REFUSED },
        { "BATCH_INVALID", EXIT_REFUSED },
        { "BATCH_CORRUPT", EXIT_REFUSED },
        { "BATCH_TOO_LARGE", EXIT_REFUSED },
        { "REQUEST_TOO_LARGE", EXIT_REFUSED },
        { "TIMESTAMP_INVALID", EXIT_REFUSED },
        { "SEQUENCE_GAP", EXIT_REFUSED },
        { "SEQUENCE_OLD", EXIT_REFUSED },
        { "PRODUCER_FENCED", EXIT_REFUSED },
        { "PRODUCER_UNKNOWN", EXIT_REFUSED },
        { "ACKS_INVALID", EXIT_REFUSED },
        { "SEGMENT_CORRUPT", EXIT_REFUSED },
        { "CLIENT_CODEC", EXIT_REFUSED },
        { "CLIENT_UNREACHABLE", EXIT_UNREACHABLE },
        { "NOT_READY", EXIT_UNREACHABLE },
        { "SHUTTING_DOWN", EXIT_UNREACHABLE },
        { "TOO_MANY_CONNECTIONS", EXIT_UNREACHABLE },
        { "CLIENT_TIMEOUT", EXIT_TIMED_OUT },
        { "GROUP_NOT_FOUND", EXIT_NOT_FOUND },
        { "GROUP_NAME_INVALID", EXIT_USAGE },
        { "GROUP_CONFIG_INVALID", EXIT_USAGE },
        { "GROUP_MODE_MISMATCH", EXIT_REFUSED },
        { "GROUP_BUSY", EXIT_REFUSED },
        { "GROUP_PAUSED", EXIT_REFUSED },
        { "MEMBER_FENCED", EXIT_REFUSED },
        { "MEMBER_UNKNOWN", EXIT_REFUSED },
        { "STALE_GENERATION", EXIT_REFUSED },
        { "EVENT_NOT_LEASED", EXIT_REFUSED },
        { "NOT_YOUR_EVENT", EXIT_REFUSED },
        { "POSITION_UNKNOWN", EXIT_REFUSED },
        { "GROUP_KIND_MISMATCH", EXIT_REFUSED },
        { "NOT_FOR_KAFKA_GROUPS", EXIT_REFUSED },
        { "ENVELOPE_INVALID", EXIT_REFUSED },
        { "ENVELOPE_FIELD_MISSING", EXIT_REFUSED },
        { "NAME_REFUSED", EXIT_REFUSED },
        { "SUBJECT_NOT_FOUND", EXIT_NOT_FOUND },
        { "SCHEMA_NOT_FOUND", EXIT_NOT_FOUND },
        { "SUBJECT_NAME_INVALID", EXIT_USAGE },
        { "SCHEMA_INVALID", EXIT_REFUSED },
        { "SCHEMA_REFERENCE", EXIT_REFUSED },
        { "SCHEMA_LIMIT", EXIT_REFUSED },
        { "SCHEMA_MISMATCH", EXIT_REFUSED },
        { "SCHEMA_CHECK_LIMIT", EXIT_REFUSED },
        { "SCHEMA_INCOMPATIBLE", EXIT_REFUSED },
        { "SCHEMA_REFERENCED", EXIT_REFUSED },
        { "SCHEMA_NOT_DELETED", EXIT_REFUSED },
        { "JSON_INVALID", EXIT_REFUSED },
        { "JSON_LIMIT", EXIT_REFUSED },
        { "DEDUPE_CONFLICT", EXIT_REFUSED },
        { "DEDUPE_LOST", EXIT_REFUSED },
        { "DEDUPE_DUPLICATE", EXIT_REFUSED },
    };
    const char *name = runnel_error_name(error);

    for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
        if (!strcmp(exits[i].name, name))
            return exits[i].code;
    }
    return EXIT_FAILED;
}

struct topic_names {
    const char *names[TOPICS_COMPARED_MAX];
    size_t count;
};

static int keep_name(void *ctx, const struct runnel_topic_row *row)
{
    struct topic_names *topics = ctx;

    topics->names[topics->count++] = cli_keep(row->name);
    return topics->count == TOPICS_COMPARED_MAX;
}

const char *cli_fix(char *text, int error)
{
    const char *general = runnel_error_fix(error);
    const bool in_text = !strncmp(general, "see the text", 12);
    char *colon = NULL, *tail = strstr(text, "; did you mean");

    one_line(text);
    for (char *at = strstr(text, ": "); at; at = strstr(at + 2, ": "))
        colon = at;
    /* alike at their beginnings: the broker's own says the same, with names */
    if (!tail && colon &&
        (in_text || !strncmp(colon + 2, general, 8) || !strncmp(colon + 2, "did you mean", 12)))
        tail = colon;
    if (!tail && in_text)
        tail = strstr(text, "; ");
    if (!tail)
        return general;
    *tail = '\0';
    return tail + 2;
}

/* The name of a topic that is there and much like this one; NULL: none. Stays allocated: the command is about
 * to end. */
static const char *nearest_topic(struct cli *cli, const char *topic)
{
    struct topic_names *topics = cli_alloc(sizeof(*topics));
    const char *nearest = NULL;

    if (runnel_topic_list(cli->client, NULL, 0, keep_name, topics) >= 0)
        nearest = args_nearest(topic, topics->names, topics->count);
    free(topics);
    return nearest;
}

const char *cli_topic(const char *topic)
{
    static char where[320];

    snprintf(where, sizeof(where), "topic %s", topic);
    return where;
}

const char *cli_group(const char *group)
{
    static char where[320];

    snprintf(where, sizeof(where), "group %s", group);
    return where;
}

int cli_fail_about(struct cli *cli, const char *what)
{
    struct runnel_error error = *runnel_last_error(cli->client);
    const char *fix;
    char where[400];

    if (!error.text[0])
        snprintf(error.text, sizeof(error.text), "%s", runnel_error_text(error.code));
    fix = cli_fix(error.text, error.code);
    snprintf(where, sizeof(where), "%s, %s", what, runnel_error_name(error.code));
    return cli_fail(cli_exit_of(error.code), where, fix, "%s", error.text);
}

int cli_fail_client(struct cli *cli, const char *topic)
{
    struct runnel_error error = *runnel_last_error(cli->client);
    const char *fix, *nearest = NULL;
    char where[400], meant[320];

    if (!error.text[0])
        snprintf(error.text, sizeof(error.text), "%s", runnel_error_text(error.code));
    fix = cli_fix(error.text, error.code);
    if (error.code == RUNNEL_E_TOPIC_NOT_FOUND && topic)
        nearest = nearest_topic(cli, topic);
    if (nearest) {
        snprintf(meant, sizeof(meant), "did you mean '%s'?", nearest);
        fix = meant;
    }
    snprintf(where, sizeof(where), "%s%s%s", topic ? cli_topic(topic) : "", topic ? ", " : "",
             runnel_error_name(error.code));
    return cli_fail(cli_exit_of(error.code), where, fix, "%s", error.text);
}

/* ---- the connection ---- */

static const char *timeout_text;

runnel_options *cli_options(void)
{
    runnel_options *options = runnel_options_new();

    if (!options) {
        cli_fail(EXIT_FAILED, NULL, "free some memory", "out of memory");
        exit(EXIT_FAILED);
    }
    if (timeout_text) {
        cli_option(options, "connect.timeout.ms", timeout_text);
        cli_option(options, "request.timeout.ms", timeout_text);
        cli_option(options, "retry.for.ms", timeout_text);
    }
    return options;
}

void cli_option(runnel_options *options, const char *name, const char *value)
{
    if (runnel_options_set(options, name, value) == 0)
        return;
    cli_fail(EXIT_USAGE, NULL, "give another value", "%s", runnel_last_error(NULL)->text);
    exit(EXIT_USAGE);
}

int cli_connect(struct cli *cli)
{
    runnel_options *options;

    timeout_text = cli->timeout_text;
    options = cli_options();
    cli_option(options, "client.name", "runnel");
    cli->client = runnel_connect(args_value(&cli->args, OPT_SERVER), options);
    runnel_options_free(options);
    return cli->client ? EXIT_DONE : cli_fail_client(cli, NULL);
}

/* ---- waiting and ^C ---- */

static volatile sig_atomic_t interrupts, softly;
static int interrupt_fd = -1; /* readable after ^C, so that a poll that was about to start ends, too */

static void on_interrupt(int signal)
{
    const uint64_t one = 1;

    (void)signal;
    if (!softly || interrupts++)
        _exit(EXIT_INTERRUPTED);
    if (write(interrupt_fd, &one, sizeof(one)) < 0)
        _exit(EXIT_INTERRUPTED);
}

void cli_interrupt_hard(void)
{
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = SA_RESTART };

    softly = 0;
    sigaction(SIGINT, &action, NULL);
}

void cli_interrupt_softly(void)
{
    if (interrupt_fd < 0)
        interrupt_fd = eventfd(0, EFD_CLOEXEC);
    softly = interrupt_fd >= 0;
}

bool cli_interrupted(void)
{
    return interrupts > 0;
}

static volatile sig_atomic_t terminated;

static void on_terminate(int signal)
{
    const uint64_t one = 1;

    (void)signal;
    terminated = 1;
    if (write(interrupt_fd, &one, sizeof(one)) < 0)
        _exit(EXIT_FAILED);
}

void cli_stop_softly(void)
{
    struct sigaction action = { .sa_handler = on_terminate, .sa_flags = SA_RESTART };

    cli_interrupt_softly();
    if (softly)
        sigaction(SIGTERM, &action, NULL);
}

bool cli_stopping(void)
{
    return interrupts > 0 || terminated;
}

int cli_stop_fd(void)
{
    return interrupt_fd;
}

bool cli_wait(struct cli *cli, int fd, int timeout_ms, int *client_error)
{
    struct pollfd fds[3] = {
        { .fd = cli->client ? runnel_fd(cli->client) : -1 },
        { .fd = fd, .events = POLLIN },
        { .fd = interrupt_fd, .events = POLLIN },
    };
    int rc;

    *client_error = 0;
    if (cli->client) {
        const int own_ms = runnel_timeout_ms(cli->client);
        fds[0].events = (short)runnel_events(cli->client);
        if (own_ms >= 0 && (timeout_ms < 0 || own_ms < timeout_ms))
            timeout_ms = own_ms;
    }
    if (poll(fds, 3, timeout_ms) < 0)
        fds[1].revents = 0;
    if (cli->client) {
        rc = runnel_process(cli->client);
        *client_error = rc < 0 ? rc : 0;
    }
    return fds[1].revents != 0;
}

/* ---- asking ---- */

int cli_confirm(struct cli *cli, const char *question)
{
    char answer[16] = "";

    if (args_flag(&cli->args, OPT_YES))
        return EXIT_DONE;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return cli_usage("say --yes, or see what would happen with --dry-run", "%s needs a yes", question);
    fprintf(stderr, "%s? [y/N] ", question);
    if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
        return cli_fail(EXIT_INTERRUPTED, NULL, "nothing was changed", "not confirmed");
    return EXIT_DONE;
}

int cli_number(struct cli *cli, int id, int64_t min, int64_t max, int64_t initial, int64_t *out)
{
    const char *text = args_value(&cli->args, id);

    *out = initial;
    if (!text || parse_number(text, min, max, out))
        return EXIT_DONE;
    if (max == INT64_MAX)
        return cli_usage("give a whole number", "'%s' is not a number of at least %lld", text,
                         (long long)min);
    return cli_usage("give a whole number", "'%s' is not a number from %lld to %lld", text, (long long)min,
                     (long long)max);
}

int cli_duration(struct cli *cli, int id, int64_t initial_ms, int64_t *out)
{
    const char *text = args_value(&cli->args, id);

    *out = initial_ms;
    if (!text || parse_duration_ms(text, out))
        return EXIT_DONE;
    return cli_usage("write it with units: 250ms, 15s, 1h30m, 7d", "'%s' is not a duration", text);
}

int cli_configs(struct cli *cli, const char *const *pairs, size_t pair_count, struct runnel_config *configs,
                size_t *count)
{
    const char *text;
    size_t i = 0, pair = 0;

    *count = 0;
    while ((text = pair < pair_count ? pairs[pair++] : args_each(&cli->args, OPT_CONFIG, &i))) {
        const char *equals = strchr(text, '=');
        char *name;
        if (!equals || equals == text)
            return cli_usage("write it as retention.ms=7d", "'%s' is no setting", text);
        if (*count == CLI_CONFIGS_MAX)
            return cli_usage("set some of them later", "more than %d settings", CLI_CONFIGS_MAX);
        name = cli_keep(text);
        name[equals - text] = '\0';
        configs[(*count)++] = (struct runnel_config){ name, equals + 1 };
    }
    i = 0;
    while ((text = args_each(&cli->args, OPT_UNSET, &i))) {
        if (*count == CLI_CONFIGS_MAX)
            return cli_usage("set some of them later", "more than %d settings", CLI_CONFIGS_MAX);
        configs[(*count)++] = (struct runnel_config){ text, NULL };
    }
    return EXIT_DONE;
}
