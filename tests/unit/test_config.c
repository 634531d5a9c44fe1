/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/unit/test_config.c: the configuration: file, environment, messages by line, relations; and that the
 * generated documents are what the table says.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "config.h"

static char why[CONFIG_WHY_BYTES];
static char path[] = "/tmp/runnel-config-XXXXXX";

/* Loads `text` as a file. */
static bool load(struct config *c, const char *text)
{
    const int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    config_init(c);
    why[0] = '\0';
    const bool ok = config_load(c, path, why);
    unlink(path);
    memcpy(path + strlen(path) - 6, "XXXXXX", 6);
    return ok;
}

/* The message names line `line` and contains `part`. */
static void expect_error(const char *text, int line, const char *part)
{
    struct config c;
    char at[16];
    cr_assert(!load(&c, text), "accepted: %s", text);
    snprintf(at, sizeof(at), ":%d: ", line);
    cr_assert_not_null(strstr(why, at), "%s: not at line %d", why, line);
    cr_assert_not_null(strstr(why, part), "%s: lacks %s", why, part);
}

Test(config, dotted_nested_and_mixed_are_the_same)
{
    const char *texts[] = {
        "data.dir: /d\njournal.files.max: 7\njournal.file.bytes: 32MiB\ntopic.retention.ms: 1d\n",
        ("data:\n  dir: /d\njournal:\n  files:\n    max: 7\n  file:\n    bytes: 32MiB\n"
         "topic:\n  retention:\n    ms: 1d\n"),
        "data: {dir: /d}\njournal:\n  files.max: 7\n  file.bytes: 32MiB\ntopic: {retention.ms: 86400000}\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct config c;
        cr_assert(load(&c, texts[i]), "%s", why);
        cr_assert_str_eq(c.data_dir, "/d");
        cr_assert_eq(c.journal_files_max, 7);
        cr_assert_eq(c.journal_file_bytes, 32 << 20);
        cr_assert_eq(c.topic_defaults.retention_ms, 86400000);
        cr_assert(config_check(&c, why), "%s", why);
    }
}

Test(config, lists_and_choices)
{
    struct config c;
    cr_assert(
        load(&c, "listen:\n  - tcp://127.0.0.1:0\n  - unix:/tmp/s\nspin.mode: always\nlog:\n  format: json\n"
                 "insecure: true\n"),
        "%s", why);
    cr_assert_eq(c.listen_count, 2);
    cr_assert_str_eq(c.listen[1], "unix:/tmp/s");
    cr_assert_eq(c.spin_mode, CONFIG_SPIN_ALWAYS);
    cr_assert_eq(c.log_format, 1);
    cr_assert_eq(c.insecure, 1);
    cr_assert(load(&c, "listen: tcp://127.0.0.1:1, tcp://127.0.0.1:2\n"));
    cr_assert_eq(c.listen_count, 2);
    cr_assert(load(&c, ""));
    cr_assert(load(&c, "# only a comment\n"));
}

Test(config, errors_name_line_and_remedy)
{
    expect_error("data.dir: /d\n\njournal.file.max: 3\n", 3, "\"journal.files.max\"");
    expect_error("journal:\n  files:\n    mx: 3\n", 3, "did you mean \"journal.files.max\"?");
    expect_error("topic.retention: 1d\n", 1, "topic.retention.ms");
    expect_error("spin.us: fast\n", 1, "whole number");
    expect_error("spin.us: 99999\n", 1, "0 to 1000");
    expect_error("frame.bytes.max: 2 bananas\n", 1, "size");
    expect_error("insecure: maybe\n", 1, "true or false");
    expect_error("log.level: loud\n", 1, "debug|info|warn|error");
    expect_error("spin.us: 1\nspin.us: 2\n", 2, "twice");
    expect_error("spin.us: 1\nspin:\n  us: 2\n", 3, "twice");
    expect_error("workers: [1, 2]\n", 1, "one value");
    expect_error("- a\n- b\n", 1, "key: value");
    expect_error("spin.us: 'x\n", 2, "not YAML");
    expect_error("listen:\n  - x: y\n", 2, "URLs");
    expect_error("topic.max.message.bytes: 99GiB\n", 1, "max.message.bytes");
    expect_error("spin.us: *x\n", 1, "");
    struct config c;
    config_init(&c);
    cr_assert(!config_load(&c, "/nonexistent/file", why));
    cr_assert_not_null(strstr(why, "No such file"));
}

Test(config, environment)
{
    struct config c;
    config_init(&c);
    char *env[] = { "HOME=/",
                    "RUNNEL_JOURNAL_FILES_MAX=9",
                    "RUNNEL_DATA_DIR=/e",
                    "RUNNEL_TOPIC_RETENTION_MS=1h",
                    "RUNNEL_URL=tcp://x",
                    "RUNNEL_BIN=/x",
                    "RUNNEL_LISTEN=tcp://127.0.0.1:0 unix:/s",
                    NULL };
    cr_assert(config_environment(&c, env, why), "%s", why);
    cr_assert_eq(c.journal_files_max, 9);
    cr_assert_eq(c.topic_defaults.retention_ms, 3600000);
    cr_assert_str_eq(c.data_dir, "/e");
    cr_assert_eq(c.listen_count, 2);
    char *wrong[] = { "RUNNEL_JOURNAL_FILE_MAX=9", NULL };
    cr_assert(!config_environment(&c, wrong, why));
    cr_assert_not_null(strstr(why, "journal.files.max"));
    char *bad[] = { "RUNNEL_SPIN_US=x", NULL };
    cr_assert(!config_environment(&c, bad, why));
    cr_assert_not_null(strstr(why, "RUNNEL_SPIN_US"));
}

Test(config, relations)
{
    static const struct {
        const char *key, *value, *part;
    } CASES[] = {
        { "batch.bytes.max", "2MiB", "frame.bytes.max" },
        { "topic.max.message.bytes", "2MiB", "batch.bytes.max" },
        { "connection.inflight.bytes", "1MiB", "connection.inflight.bytes" },
        { "inflight.bytes.max", "1MiB", "inflight.bytes.max" },
        { "topic.partitions.max", "2", "topic.partitions.default" },
        { "recv.buffers", "65", "power of two" },
        { "journal.file.bytes", "1MiB", "journal.file.bytes" },
    };
    struct config c;
    config_init(&c);
    cr_assert(!config_check(&c, why));
    cr_assert_not_null(strstr(why, "data.dir"));
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        config_init(&c);
        cr_assert(config_set(&c, "data.dir", "/d", why));
        cr_assert(config_check(&c, why), "%s", why);
        cr_assert(config_set(&c, CASES[i].key, CASES[i].value, why), "%s", why);
        cr_assert(!config_check(&c, why), "%s", CASES[i].key);
        cr_assert_not_null(strstr(why, CASES[i].part), "%s", why);
    }
}

Test(config, every_default_is_in_range_and_reads_back)
{
    for (uint32_t i = 0; i < config_key_count(); i++) {
        const struct config_key *key = config_key_row(i);
        struct config c;
        char text[32];
        config_init(&c);
        config_text(key, key->initial, text, sizeof(text));
        cr_assert(config_set(&c, key->name, text, why), "%s", why);
        cr_assert_eq(config_value(&c, key), key->initial, "%s", key->name);
        cr_assert(strlen(key->name) < CONFIG_NAME_BYTES);
    }
}

/* What `print` prints is what the file holds. */
static void expect_file(void (*print)(FILE *out), const char *file, const char *command)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    print(out);
    fclose(out);
    FILE *in = fopen(file, "r");
    cr_assert_not_null(in, "%s is missing: %s > %s", file, command, file);
    char *held = calloc(1, bytes + 2);
    const size_t got = fread(held, 1, bytes + 1, in);
    fclose(in);
    cr_assert(got == bytes && memcmp(held, text, bytes) == 0, "%s differs from the table: %s > %s", file,
              command, file);
    free(held);
    free(text);
}

Test(config, documents_are_printed_from_the_table)
{
    expect_file(config_print_doc, SOURCE_DIR "/docs/configuration.md", "runneld --print-config-doc");
    expect_file(config_print_yaml, SOURCE_DIR "/configs/runneld.yaml", "runneld --print-config");
}

Test(config, the_annotated_file_is_a_valid_one)
{
    struct config c;
    config_init(&c);
    cr_assert(config_load(&c, SOURCE_DIR "/configs/runneld.yaml", why), "%s", why);
    cr_assert(config_check(&c, why), "%s", why);
}
