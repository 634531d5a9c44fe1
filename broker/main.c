/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/main.c: runneld's command line, and the way from it to a running broker.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "broker.h"
#include "config.h"
#include "verify.h"

extern char **environ;

static const char MAIN_HELP[] =
    "usage: runneld --config FILE [--data DIR] [--listen URL]... [--insecure]\n"
    "       runneld --data DIR [--listen URL]... [--insecure]\n"
    "       runneld --check-config FILE\n"
    "       runneld --verify DIR [-o table|json|jsonl]\n"
    "       runneld --print-config | --print-config-doc | --version | --help\n"
    "\n"
    "  --config FILE        YAML; --print-config prints one with every key\n"
    "  --data DIR           data directory, made when missing (overrides data.dir)\n"
    "  --listen URL         tcp://HOST:PORT (port 0: a free one), tcp://[IPv6]:PORT, unix:PATH or for\n"
    "                       Kafka clients kafka://HOST:PORT[?advertise=HOST:PORT]; may be repeated\n"
    "                       (overrides listen; default tcp://127.0.0.1:7411 and unix:DIR/runnel.sock)\n"
    "  --insecure           allow listeners that other machines can reach\n"
    "  --check-config FILE  say what is wrong with a configuration, by file and line\n"
    "  --verify DIR         check every checksum, offset and index of a data directory; the broker must be "
    "stopped\n"
    "\n"
    "The environment overrides the file: journal.files.max is RUNNEL_JOURNAL_FILES_MAX.\n"
    "Prints one line `ready ADDRESS...` on stdout when clients can connect; messages go to stderr.\n"
    "SIGTERM and SIGINT drain and stop, a second one stops at once; SIGHUP reads the configuration again.\n"
    "\n"
    "exit codes: 0 stopped as told (or: all is well), 1 failed, 2 wrong usage, 6 the system refuses "
    "io_uring\n"
    "\n"
    "example: runneld --data /tmp/events\n";

struct main_args {
    const char *config_file, *data_dir, *check_file, *verify_dir, *output;
    const char *listen[CONFIG_LISTEN_MAX];
    uint32_t listen_count;
    bool insecure;
};

static int main_error(enum broker_exit code, const char *text)
{
    fprintf(stderr, "error: %s\n", text);
    return code;
}

/* Defaults, file, environment, command line: each over the one before. Also what SIGHUP calls. */
static bool main_configure(void *ctx, struct config *out, char *why)
{
    const struct main_args *args = ctx;
    config_init(out);
    if (args->config_file && !config_load(out, args->config_file, why))
        return false;
    if (!config_environment(out, environ, why))
        return false;
    if (args->data_dir && !config_set(out, "data.dir", args->data_dir, why))
        return false;
    if (args->listen_count)
        out->listen_count = 0;
    for (uint32_t i = 0; i < args->listen_count; i++) {
        if (!config_listen(out, args->listen[i], why))
            return false;
    }
    if (args->insecure)
        out->insecure = 1;
    return config_check(out, why);
}

/* The file alone, as it would be read; it need not name a data directory if --data will. */
static int main_check_config(const char *path)
{
    char why[CONFIG_WHY_BYTES];
    struct config c;
    config_init(&c);
    if (!config_load(&c, path, why))
        return main_error(BROKER_FAILED, why);
    if (c.data_dir[0] == '\0')
        (void)config_set(&c, "data.dir", "unset", why);
    if (!config_check(&c, why)) {
        fprintf(stderr, "error: %s: %s\n", path, why);
        return BROKER_FAILED;
    }
    printf("%s: ok\n", path);
    return BROKER_OK;
}

static void main_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    /* Before any thread starts: all of them inherit it, and the loop's signalfd gets them. */
    sigprocmask(SIG_BLOCK, &set, NULL);
    /* A peer that is gone and a file beyond the limit are errors of an operation, not of the process. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static int main_serve(struct main_args *args)
{
    char why[BROKER_WHY_BYTES];
    struct broker_options options = { .reload = main_configure, .reload_ctx = args };
    struct broker *b;
    if (!main_configure(args, &options.config, why))
        return main_error(BROKER_FAILED, why);
    diag_set_level((enum diag_level)options.config.log_level);
    diag_set_format((enum diag_format)options.config.log_format);
    main_signals();
    enum broker_exit code = broker_create(&b, &options, why);
    if (code != BROKER_OK)
        return main_error(code, why);
    code = broker_run(b);
    broker_destroy(b);
    return code;
}

enum {
    ARG_CONFIG = 256,
    ARG_DATA,
    ARG_LISTEN,
    ARG_INSECURE,
    ARG_CHECK,
    ARG_VERIFY,
    ARG_DOC,
    ARG_PRINT,
    ARG_VERSION
};

static const struct option MAIN_OPTIONS[] = {
    { "config", required_argument, NULL, ARG_CONFIG },
    { "data", required_argument, NULL, ARG_DATA },
    { "listen", required_argument, NULL, ARG_LISTEN },
    { "insecure", no_argument, NULL, ARG_INSECURE },
    { "check-config", required_argument, NULL, ARG_CHECK },
    { "verify", required_argument, NULL, ARG_VERIFY },
    { "print-config-doc", no_argument, NULL, ARG_DOC },
    { "print-config", no_argument, NULL, ARG_PRINT },
    { "version", no_argument, NULL, ARG_VERSION },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

/* What only prints: the exit code; -1: go on. */
static int main_print(int option)
{
    if (option == ARG_DOC)
        config_print_doc(stdout);
    else if (option == ARG_PRINT)
        config_print_yaml(stdout);
    else if (option == ARG_VERSION)
        printf("runneld %s\n", RUNNEL_VERSION);
    else if (option == 'h')
        fputs(MAIN_HELP, stdout);
    else
        return -1;
    return fflush(stdout) ? BROKER_FAILED : BROKER_OK;
}

static int main_usage(const char *text)
{
    fprintf(stderr, "error: %s: see `runneld --help`\n", text);
    return BROKER_USAGE;
}

int main(int argc, char **argv)
{
    struct main_args args = { 0 };
    int option;
    while ((option = getopt_long(argc, argv, "ho:", MAIN_OPTIONS, NULL)) != -1) {
        switch (option) {
        case ARG_CONFIG:
            args.config_file = optarg;
            break;
        case ARG_DATA:
            args.data_dir = optarg;
            break;
        case ARG_LISTEN:
            if (args.listen_count == CONFIG_LISTEN_MAX)
                return main_usage("too many --listen");
            args.listen[args.listen_count++] = optarg;
            break;
        case ARG_INSECURE:
            args.insecure = true;
            break;
        case ARG_CHECK:
            args.check_file = optarg;
            break;
        case ARG_VERIFY:
            args.verify_dir = optarg;
            break;
        case 'o':
            args.output = optarg;
            break;
        default: {
            const int printed = main_print(option);
            return printed >= 0 ? printed : BROKER_USAGE; /* getopt has said what is wrong */
        }
        }
    }
    if (optind < argc)
        return main_usage("runneld takes options only");
    if (args.output && !args.verify_dir)
        return main_usage("-o goes with --verify only");
    if (args.check_file)
        return main_check_config(args.check_file);
    if (args.verify_dir)
        return verify_run(args.verify_dir, args.output ? args.output : "table");
    if (!args.config_file && !args.data_dir && !getenv("RUNNEL_DATA_DIR"))
        return main_usage("say where the data is: --data DIR or --config FILE");
    return main_serve(&args);
}
