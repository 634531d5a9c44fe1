/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/cli.h: what every command is handed: the parsed command line, standard output, the connection; and the
 * two things that all do alike: failing, and waiting.
 *
 * Data goes to standard output, everything else to stderr. A failure is one line, `error: what (where): how
 * to fix`, and an exit code that scripts can branch on.
 */
#ifndef RUNNEL_CLI_CLI_H
#define RUNNEL_CLI_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/cli/args.h"
#include "client/cli/out.h"
#include "client/include/runnel.h"

/* Exit codes. X(NAME, code, "meaning") */
#define CLI_EXITS(X)                                                                                         \
    X(DONE, 0, "done")                                                                                       \
    X(FAILED, 1, "failed")                                                                                   \
    X(USAGE, 2, "wrong usage: the command line, or a name or value in it")                                   \
    X(NOT_FOUND, 3, "not found, or nothing matches")                                                         \
    X(REFUSED, 4, "refused by a rule: conflict, limit, schema, damaged data")                                \
    X(AUTH, 5, "not authenticated, or not allowed")                                                          \
    X(UNREACHABLE, 6, "the broker cannot be reached or is not ready")                                        \
    X(PARTLY, 7, "partly done: what failed is listed on stderr")                                             \
    X(TIMED_OUT, 124, "timed out")                                                                           \
    X(INTERRUPTED, 130, "interrupted (^C)")

enum cli_exit {
#define X(name, code, meaning) EXIT_##name = code,
    CLI_EXITS(X)
#undef X
};

enum option_id {
    OPT_NONE,
    OPT_SERVER,
    OPT_OUTPUT,
    OPT_NO_HEADER,
    OPT_QUIET,
    OPT_TIMEOUT,
    OPT_HELP,
    OPT_VERSION,
    OPT_LINES,
    OPT_KEY,
    OPT_KEY_SEPARATOR,
    OPT_HEADER,
    OPT_PARTITION,
    OPT_ACKS,
    OPT_TYPE,
    OPT_ID,
    OPT_CORRELATION,
    OPT_CAUSATION,
    OPT_COMPRESS,
    OPT_TIMESTAMP,
    OPT_FROM,
    OPT_TO,
    OPT_COUNT,
    OPT_EXIT_AT_END,
    OPT_LAST,
    OPT_RAW,
    OPT_DELIMITER,
    OPT_FOLLOW,
    OPT_TO_TOPIC,
    OPT_RATE,
    OPT_DRY_RUN,
    OPT_PARTITIONS,
    OPT_CONFIG,
    OPT_IF_MISSING,
    OPT_INTERNAL,
    OPT_UNSET,
    OPT_YES,
    OPT_WATCH,
    OPT_BROKER,
    OPT_MAN,
    OPT_MARKDOWN,
    OPT_GROUP,
    OPT_SHARED,
    OPT_INSTANCE,
    OPT_EXEC,
    OPT_PARALLEL,
    OPT_EXEC_TIMEOUT,
    OPT_TOPIC,
    OPT_SHIFT,
    OPT_CREATE,
    OPT_WHERE_TYPE,
    OPT_SINCE,
    OPT_JSON_PATH,
    OPT_LIMIT,
    OPT_REASON,
    OPT_BY,
    OPT_SOURCE,
    OPT_SUBJECT,
    OPT_ACTOR,
    OPT_TENANT,
    OPT_SESSION,
    OPT_USER,
    OPT_PRIORITY,
    OPT_SCHEMA_VERSION,
    OPT_PROFILE,
    OPT_BARE,
    OPT_ENVELOPE,
    OPT_ERROR_TYPE,
    OPT_ERROR_MESSAGE,
    OPT_ERROR_STACK,
    OPT_RETRIES,
    OPT_REFERENCE,
    OPT_FORCE,
    OPT_DELETED,
    OPT_PERMANENT,
    OPT_SCHEMA_ID,
    OPT_AGAINST,
    OPT_SCHEMA,
    OPT_APPLY,
};

struct cli {
    struct args args;
    struct out out;
    bool quiet;
    bool progress;            /* stderr is a terminal and not told to be quiet */
    const char *timeout_text; /* milliseconds, for the library's options; NULL: its defaults */
    runnel_client *client;
};

/* ---- memory: a command that gets none ends ---- */
void *cli_alloc(size_t n);
void *cli_realloc(void *at, size_t n);
void *cli_copy(const void *at, size_t n);
/* A copy of a text that stays until the command ends. */
char *cli_keep(const char *text);

/* ---- time ---- */
int64_t cli_now_ms(void);
int64_t cli_monotonic_ms(void);

/* ---- failing ---- */

/* Prints `error: what (where): fix`, with "runnel COMMAND" for a NULL `where`; returns `code`. */
int cli_fail(int code, const char *where, const char *fix, const char *what, ...)
    __attribute__((format(printf, 4, 5)));
/* How errors name the command: " topic create". */
void cli_name_command(const char *words);
/* The same for a wrong command line: exit code 2. */
#define cli_usage(fix, ...) cli_fail(EXIT_USAGE, NULL, fix, __VA_ARGS__)
/* The client's last error; `topic` NULL: none is concerned. An unknown topic is compared with those that
 * exist. */
int cli_fail_client(struct cli *cli, const char *topic);
/* The same where something else is concerned: "group billing". */
int cli_fail_about(struct cli *cli, const char *what);
/* What to do about an error of the broker. Its sentences often end in that: then it is cut off `text`. */
const char *cli_fix(char *text, int error);
/* "topic NAME", "group NAME", for `where`; lent until the next call. */
const char *cli_topic(const char *topic);
const char *cli_group(const char *group);
/* The exit code that stands for an error of library or broker (positive or negative). */
int cli_exit_of(int error);
/* "note: ...", unless quiet. */
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- the connection ---- */

/* 0, or an exit code with the error printed. */
int cli_connect(struct cli *cli);
/* Options for a producer, consumer or client; impossible values of ours end the command. */
runnel_options *cli_options(void);
void cli_option(runnel_options *options, const char *name, const char *value);

/* ---- waiting and ^C ---- */

/* From here on ^C only sets a mark (a second one ends the command), so that a loop can end in order. */
void cli_interrupt_softly(void);
/* Back to: ^C ends the command at once, exit code 130. */
void cli_interrupt_hard(void);
bool cli_interrupted(void);
/* As cli_interrupt_softly(), and SIGTERM too: a command that has something to finish. */
void cli_stop_softly(void);
/* ^C or SIGTERM came. */
bool cli_stopping(void);
/* Readable from then on; -1 before cli_interrupt_softly(). */
int cli_stop_fd(void);
/* Waits until the client wants runnel_process(), `fd` (-1: none) can be read, ^C comes, or `timeout_ms` (-1:
 * never) is over. True when `fd` can be read. The client is given its turn. */
bool cli_wait(struct cli *cli, int fd, int timeout_ms, int *client_error);

/* Asks on a terminal; without one, `--yes` is needed. 0: go on; else an exit code. */
int cli_confirm(struct cli *cli, const char *question);

/* Parses an option's value; a wrong one is reported. 0, or EXIT_USAGE. */
int cli_number(struct cli *cli, int id, int64_t min, int64_t max, int64_t initial, int64_t *out);
int cli_duration(struct cli *cli, int id, int64_t initial_ms, int64_t *out);

/* The whole of a file, or (path NULL) of standard input; free() it. 0, or an exit code. */
int cli_read_all(const char *path, char **out, size_t *len);

/* ---- commands, one file per noun ---- */
extern const struct command pub_command, read_command, sub_command, replay_command;
extern const struct command topic_create_command, topic_list_command, topic_describe_command,
    topic_offsets_command, topic_set_command, topic_add_partitions_command, topic_delete_command,
    topic_lint_command, topic_import_command;
extern const struct command group_list_command, group_describe_command, group_lag_command, group_seek_command,
    group_set_command, group_breaker_command, group_delete_command, group_forget_command;
extern const struct command dlq_list_command, dlq_stats_command, dlq_show_command, dlq_redrive_command,
    dlq_discard_command, dlq_put_command;
extern const struct command schema_register_command, schema_list_command, schema_get_command,
    schema_check_command, schema_validate_command, schema_diff_command, schema_compat_command,
    schema_delete_command, schema_sync_command;
extern const struct command health_command, stat_command, version_command, verify_command, errors_command,
    completion_command, help_command;

/* Settings from "k=v" words (`pairs`, else --config) and --unset: at most CLI_CONFIGS_MAX. 0, or an exit
 * code. */
enum { CLI_CONFIGS_MAX = 64 };
int cli_configs(struct cli *cli, const char *const *pairs, size_t pair_count, struct runnel_config *configs,
                size_t *count);

/* change.c: what commands that change topics and groups show. */
struct config_list {
    const struct runnel_config_row *rows;
    size_t count;
};
/* A row for each setting that was changed: its old and its new value. `kind` heads the names' column. */
void change_configs(struct cli *cli, const char *kind, const struct runnel_config *configs, size_t count,
                    struct config_list before, struct config_list after);
/* Calls `one` with each operand, which writes a row or fails: its exit code. Some done is EXIT_PARTLY, else
 * the last failure's own. */
int change_each(struct cli *cli, const struct out_column *columns, size_t column_count,
                int (*one)(struct cli *cli, const char *name, void *ctx), void *ctx);

/* sub_group.c: `sub` with --group. */
int sub_group_run(struct cli *cli);

/* help.c: the text of --help. */
void help_command_text(struct out *out, const struct command *command);
void help_noun(struct out *out, const char *noun);
void help_overview(struct out *out);
/* man.c */
int man_page(struct out *out, const char *noun);
void man_markdown(struct out *out);

#endif
