/* SPDX-License-Identifier: Apache-2.0
 *
 * The official JSON Schema test suite (https://github.com/json-schema-org/JSON-Schema-Test-Suite): every
 * required test of drafts 2020-12 and 7, and the optional ones of the formats that are checked. Its files are
 * read from RUNNEL_JSON_SCHEMA_TESTS (a checkout: tests/, remotes/), or from where Debian's package
 * json-schema-test-suite puts them, an older set with draft 7 alone; where neither is, this says so and
 * skips.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/schema/schema.h"
#include "schema_rig.h"

static const char *suite_root(void)
{
    const char *root = getenv("RUNNEL_JSON_SCHEMA_TESTS");
    if (root && *root)
        return root;
    return access("/usr/share/json-schema-test-suite/tests", R_OK) == 0 ? "/usr/share/json-schema-test-suite"
                                                                        : NULL;
}

/* Documents stay until the end of the test: whoever resolves lends them. */
static struct arena texts;

static void setup(void)
{
    arena_init(&texts, &rig_memory, 256 << 20);
}

static void teardown(void)
{
    arena_free(&texts);
}

TestSuite(schema_suite, .init = setup, .fini = teardown);

static bool read_file(const char *path, struct bytes *text)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    uint8_t *at = size >= 0 ? arena_get(&texts, (size_t)size + 1) : NULL;
    cr_assert(at != NULL);
    rewind(file);
    *text = (struct bytes){ at, (uint32_t)fread(at, 1, (size_t)size, file) };
    fclose(file);
    return true;
}

/* The suite's remotes are served at http://localhost:1234/. */
static bool resolve(void *ctx, struct bytes uri, struct bytes reference, struct bytes *text)
{
    static const char host[] = "http://localhost:1234/";
    char path[1024];
    (void)ctx;
    (void)reference;
    if (uri.len < sizeof(host) || memcmp(uri.at, host, sizeof(host) - 1) != 0)
        return false;
    snprintf(path, sizeof(path), "%s/remotes/%.*s", suite_root(), (int)(uri.len - (sizeof(host) - 1)),
             (const char *)uri.at + sizeof(host) - 1);
    return read_file(path, text);
}

struct tally {
    uint32_t run, failed;
    bool quiet;
};

static struct bytes member_text(const struct json *json, const struct json_node *object, const char *name)
{
    const struct json_node *node = json_member(json, object, bytes_of(name));
    cr_assert(node != NULL);
    return rig_written(json, node);
}

static void group_run(const struct json *json, const struct json_node *group, const char *file, int draft,
                      bool formats, struct tally *tally)
{
    const struct schema_options options = { .resolve = resolve,
                                            .draft = (uint8_t)draft,
                                            .formats_are_notes = !formats };
    struct arena arena;
    char why[SCHEMA_WHY_BYTES];
    enum error error;
    arena_init(&arena, &rig_memory, 16 << 20);
    const struct schema_program *program =
        schema_compile(&arena, member_text(json, group, "schema"), &options, &error, why);
    struct schema_checker *checker = schema_checker_new(&rig_memory, 1 << 16, 1 << 14);
    const struct bytes about = json_bytes(json, json_member(json, group, bytes_of("description")));
    const struct json_node *tests = json_member(json, group, bytes_of("tests")), *test = tests + 1;
    for (uint32_t i = 0; i < tests->size; i++, test = &json->nodes[test->next]) {
        const struct json_limits limits = { .depth = JSON_DEPTH_MAX };
        const bool valid = json_member(json, test, bytes_of("valid"))->type == JSON_TRUE;
        const struct bytes what = json_bytes(json, json_member(json, test, bytes_of("description")));
        struct schema_fault faults[4];
        struct schema_result result = { .faults = faults, .room = 4 };
        enum error got = error;
        if (program)
            got = schema_check(checker, program, member_text(json, test, "data"), &limits, &result);
        tally->run++;
        if (program && got == (valid ? ERR_OK : ERR_SCHEMA_MISMATCH) && (valid || result.count > 0))
            continue;
        tally->failed++;
        if (!tally->quiet)
            fprintf(stderr, "%s: %.*s: %.*s: should be %s, is %s (%s)\n", file, (int)about.len,
                    (const char *)about.at, (int)what.len, (const char *)what.at, valid ? "valid" : "invalid",
                    error_name(got), program ? result.why : why);
    }
    schema_checker_free(checker);
    arena_free(&arena);
}

static void file_run(const char *path, int draft, bool formats, struct tally *tally)
{
    const struct json_limits limits = { .depth = JSON_DEPTH_MAX };
    struct bytes text;
    struct json json;
    char why[JSON_WHY_BYTES];
    cr_assert(read_file(path, &text), "%s", path);
    void *block = malloc(json_scratch_bytes(1 << 17, text.len));
    json_init(&json, block, 1 << 17, text.len);
    cr_assert_eq(json_read(&json, text, &limits, why), ERR_OK, "%s: %s", path, why);
    const struct json_node *group = json.nodes + 1;
    for (uint32_t i = 0; i < json.nodes->size; i++, group = &json.nodes[group->next])
        group_run(&json, group, path, draft, formats, tally);
    free(block);
}

/* Every file of a folder of the suite; returns how many there were. */
static uint32_t folder_run(const char *draft_name, int draft, struct tally *tally)
{
    char path[1024];
    uint32_t files = 0;
    struct dirent *entry;
    snprintf(path, sizeof(path), "%s/tests/%s", suite_root(), draft_name);
    DIR *folder = opendir(path);
    if (!folder)
        return 0;
    while ((entry = readdir(folder))) {
        const size_t n = strlen(entry->d_name);
        if (n < 6 || strcmp(entry->d_name + n - 5, ".json") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/tests/%s/%s", suite_root(), draft_name, entry->d_name);
        file_run(path, draft, false, tally);
        files++;
    }
    closedir(folder);
    return files;
}

static void draft_run(const char *name, int draft)
{
    struct tally tally = { 0 };
    if (!suite_root())
        cr_skip("no test suite: set RUNNEL_JSON_SCHEMA_TESTS, or install json-schema-test-suite");
    if (folder_run(name, draft, &tally) == 0)
        cr_skip("this copy of the suite has no %s", name);
    fprintf(stderr, "%s: %u tests, %u failed\n", name, tally.run, tally.failed);
    cr_assert(tally.run > 300);
    cr_assert_eq(tally.failed, 0);
}

Test(schema_suite, draft_2020_12)
{
    draft_run("draft2020-12", 20);
}

Test(schema_suite, draft_7)
{
    draft_run("draft7", 7);
}

/* Those that events use; the other formats are annotations. */
Test(schema_suite, formats)
{
    static const char *const drafts[] = { "draft7", "draft2020-12" };
    static const char *const names[] = {
        "format/date-time", "format/uuid", "format/uri",    "format/email",
        "format/ipv4",      "format/ipv6", "format/regex",  "format/ecmascript-regex",
        "ecmascript-regex", "bignum",      "non-bmp-regex", "float-overflow"
    };
    struct tally tally = { 0 };
    uint32_t files = 0;
    if (!suite_root())
        cr_skip("no test suite: set RUNNEL_JSON_SCHEMA_TESTS, or install json-schema-test-suite");
    for (uint32_t d = 0; d < 2; d++)
        for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            char path[1024];
            snprintf(path, sizeof(path), "%s/tests/%s/optional/%s.json", suite_root(), drafts[d], names[i]);
            if (access(path, R_OK) != 0)
                continue; /* an older copy lacks some */
            file_run(path, d == 0 ? 7 : 20, true, &tally);
            files++;
        }
    fprintf(stderr, "formats: %u files, %u tests, %u failed\n", files, tally.run, tally.failed);
    cr_assert(files > 0);
    cr_assert_eq(tally.failed, 0);
}
