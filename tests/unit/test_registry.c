/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry of schemas: subjects, versions, ids, levels, references, deletion, and all of it after the
 * process died. What the levels mean is Confluent's documentation, "Schema Evolution and Compatibility"; what
 * a change means is in test_schema_diff.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "schema/registry.h"
#include "store_rig.h"

static struct rig rig;
static struct registry *registry;
static char why[REGISTRY_WHY_BYTES], dir[256];
static struct registry_change change;

#define CLOSED(properties)                                                                                   \
    "{\"type\":\"object\",\"properties\":{" properties "},\"additionalProperties\":false}"
#define A "\"a\":{\"type\":\"string\"}"
#define B "\"b\":{\"type\":\"string\"}"
#define C "\"c\":{\"type\":\"string\"}"

static void open_it(void)
{
    clock_init(&rig.clock);
    registry = registry_create(0, &rig.clock);
    rig.options.states = registry_store_state(registry);
    rig.options.state_count = 1;
    cr_assert_eq(rig_open(&rig), 0, "%s", rig.why);
    registry_attach(registry, rig.store);
}

static void setup(void)
{
    diag_set_level(DIAG_ERROR + 1);
    rig_temp_dir(dir);
    rig_init(&rig, dir);
    open_it();
}

static void teardown(void)
{
    rig_close(&rig);
    registry_destroy(registry);
    rig_remove(dir);
}

/* What was answered is durable; then the process begins again. */
static void restart(void)
{
    rig_settle(&rig);
    rig_close(&rig);
    registry_destroy(registry);
    open_it();
}

TestSuite(registry, .init = setup, .fini = teardown);

static enum error put_with(const char *subject, const char *text, const struct registry_reference *references,
                           uint32_t count)
{
    const struct registry_candidate candidate = { REGISTRY_JSON, bytes_of(text), references, count };
    while (!store_room(rig.store, JOURNAL_NORMAL, 1, registry_room_bytes((uint32_t)strlen(text) + 1024)))
        rig_turn(&rig);
    return registry_register(registry, bytes_of(subject), &candidate, false, &change, why);
}

static enum error put(const char *subject, const char *text)
{
    return put_with(subject, text, NULL, 0);
}

static enum error check(const char *subject, const char *text)
{
    const struct registry_candidate candidate = { REGISTRY_JSON, bytes_of(text), NULL, 0 };
    return registry_check(registry, bytes_of(subject), 0, &candidate, NULL, NULL, why);
}

static enum error drop(const char *subject, uint32_t version, bool permanent)
{
    while (!store_room(rig.store, JOURNAL_RESERVED, 1, registry_room_bytes(0)))
        rig_turn(&rig);
    return registry_delete(registry, bytes_of(subject), version, permanent, &change, why);
}

static void level(const char *subject, const char *name)
{
    enum registry_level found = LEVEL_UNSET;
    while (!store_room(rig.store, JOURNAL_RESERVED, 1, registry_room_bytes(0)))
        rig_turn(&rig);
    cr_assert(!*name || registry_level_find(bytes_of(name), &found));
    cr_assert_eq(registry_set_level(registry, bytes_of(subject), found, &change, why), ERR_OK, "%s", why);
}

static struct registry_row get(const char *subject, uint32_t version)
{
    struct registry_row row = { 0 };
    cr_assert_eq(registry_get(registry, bytes_of(subject), version, true, &row, why), ERR_OK, "%s", why);
    return row;
}

Test(registry, a_schema_has_one_id_and_is_registered_once)
{
    cr_assert_eq(put("s", CLOSED(A)), ERR_OK, "%s", why);
    cr_assert(change.made && change.version == 1 && change.id == 1 && change.sequence > 0);
    cr_assert_eq(put("s", "{ \"additionalProperties\" :false,\"type\":\"object\", \"properties\":{" A "}}"),
                 ERR_OK);
    cr_assert(!change.made && change.version == 1 && change.id == 1);
    cr_assert_eq(put("t", CLOSED(A)), ERR_OK);
    cr_assert(change.made && change.version == 1 && change.id == 1, "the same schema elsewhere");
    cr_assert_eq(put("s", CLOSED(A "," B)), ERR_OK);
    cr_assert(change.made && change.version == 2 && change.id == 2);
    restart();
    cr_assert_eq(get("s", 0).version, 2);
    cr_assert_eq(get("t", 1).id, 1);
    cr_assert_eq(put("u", CLOSED(C)), ERR_OK);
    cr_assert_eq(change.id, 3);
}

/* Three versions a, ab, abc, each closed: to add is backward compatible, to take away is forward compatible.
 */
Test(registry, levels_mean_what_they_say)
{
    static const struct {
        const char *level;
        bool add, remove, both, first; /* may ... become the next one behind [a, ab]? */
    } rows[] = {
        /*                        abc    a      c      */
        { "NONE", true, true, true, true },
        { "BACKWARD", true, false, false, false },
        { "BACKWARD_TRANSITIVE", true, false, false, false },
        { "FORWARD", false, true, false, true },
        { "FORWARD_TRANSITIVE", false, true, false, true },
        { "FULL", false, false, false, false },
        { "FULL_TRANSITIVE", false, false, false, false },
    };
    cr_assert_eq(put("s", CLOSED(A)), ERR_OK);
    cr_assert_eq(put("s", CLOSED(A "," B)), ERR_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        level("s", rows[i].level);
        cr_expect_eq(check("s", CLOSED(A "," B "," C)) == ERR_OK, rows[i].add, "%s: add: %s", rows[i].level,
                     why);
        cr_expect_eq(check("s", CLOSED(A)) == ERR_OK, rows[i].remove, "%s: remove: %s", rows[i].level, why);
        cr_expect_eq(check("s", CLOSED(C)) == ERR_OK, rows[i].both, "%s: both: %s", rows[i].level, why);
    }
}

/* Only the transitive levels look beyond the latest version: x -> (any) -> y */
Test(registry, transitive_levels_look_at_every_version)
{
    static const struct {
        const char *level;
        enum error verdict;
    } rows[] = { { "BACKWARD", ERR_OK },
                 { "BACKWARD_TRANSITIVE", ERR_SCHEMA_INCOMPATIBLE },
                 { "NONE", ERR_OK } };
    level("s", "NONE");
    cr_assert_eq(put("s", "{\"type\":\"string\"}"), ERR_OK);
    cr_assert_eq(put("s", "{\"type\":\"integer\"}"), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        level("s", rows[i].level);
        cr_expect_eq(check("s", "{\"type\":\"number\"}"), rows[i].verdict, "%s: %s", rows[i].level, why);
    }
    /* and deleted versions count for nothing */
    level("s", "BACKWARD_TRANSITIVE");
    cr_assert_eq(drop("s", 1, false), ERR_OK);
    cr_expect_eq(check("s", "{\"type\":\"number\"}"), ERR_OK, "%s", why);
}

Test(registry, levels_are_inherited_and_kept)
{
    enum registry_level effective;
    cr_assert_eq(registry_level(registry, bytes_of(""), &effective), LEVEL_BACKWARD, "the default");
    level("", "FULL");
    level("s", "NONE");
    restart();
    cr_assert_eq(registry_level(registry, bytes_of("s"), &effective), LEVEL_NONE);
    cr_assert_eq(registry_level(registry, bytes_of("t"), &effective), LEVEL_UNSET);
    cr_assert_eq(effective, LEVEL_FULL);
    level("s", "");
    registry_level(registry, bytes_of("s"), &effective);
    cr_assert_eq(effective, LEVEL_FULL);
    cr_assert_eq(registry_set_level(registry, bytes_of(""), LEVEL_UNSET, &change, why), ERR_REQUEST_INVALID);
}

Test(registry, deletion_is_soft_first)
{
    struct registry_row row;
    cr_assert_eq(put("s", CLOSED(A)), ERR_OK);
    cr_assert_eq(put("s", CLOSED(A "," B)), ERR_OK);
    cr_assert_eq(drop("s", 2, true), ERR_SCHEMA_NOT_DELETED);
    cr_assert_eq(drop("s", 2, false), ERR_OK, "%s", why);
    cr_assert_eq(drop("s", 2, false), ERR_SCHEMA_NOT_FOUND);
    cr_assert_eq(registry_get(registry, bytes_of("s"), 0, false, &row, why), ERR_OK);
    cr_assert_eq(row.version, 1, "the latest that is not deleted");
    cr_assert_eq(registry_by_id(registry, 2, &row, why), ERR_OK, "what was written with it can be read");
    cr_assert(row.deleted);
    restart();
    cr_assert_eq(put("s", CLOSED(A "," B)), ERR_OK);
    cr_assert(change.made && change.version == 3 && change.id == 2,
              "the same schema again: a new version, its old id");
    cr_assert_eq(drop("s", 0, false), ERR_OK);
    cr_assert_eq(registry_get(registry, bytes_of("s"), 0, false, &row, why), ERR_SUBJECT_NOT_FOUND);
    cr_assert_eq(drop("s", 0, true), ERR_OK);
    cr_assert_eq(registry_by_id(registry, 2, &row, why), ERR_SCHEMA_NOT_FOUND);
    cr_assert_eq(registry_stats(registry)->subjects, 0);
    cr_assert_eq(registry_stats(registry)->text_bytes, 0);
    restart();
    cr_assert_eq(put("s", CLOSED(A)), ERR_OK);
    cr_assert(change.version == 1 && change.id == 3, "an id is never given a second meaning: %u", change.id);
}

Test(registry, references_lead_to_versions_and_hold_them)
{
    const struct registry_reference money = { bytes_of("money.json"), bytes_of("money"), 1 };
    static const char order[] = "{\"type\":\"object\",\"properties\":{\"total\":{\"$ref\":\"money.json\"}}}";
    cr_assert_eq(put_with("order", order, &money, 1), ERR_SCHEMA_REFERENCE);
    cr_assert_eq(put("money", "{\"type\":\"integer\"}"), ERR_OK);
    cr_assert_eq(put("order", order), ERR_SCHEMA_REFERENCE, "without saying what $ref means");
    cr_assert_eq(put_with("order", order, &money, 1), ERR_OK, "%s", why);
    restart();
    cr_assert_eq(get("order", 1).reference_count, 1);
    cr_assert(bytes_same(get("order", 1).references[0].subject, bytes_of("money")));
    cr_assert_eq(drop("money", 1, false), ERR_SCHEMA_REFERENCED);
    cr_assert_eq(drop("money", 0, false), ERR_SCHEMA_REFERENCED);
    cr_assert_eq(drop("order", 0, false), ERR_OK);
    cr_assert_eq(drop("money", 0, false), ERR_OK);
}

/* Twelve schemas that refer to the one before 32 times each: 32^12 ways to look for a name that nobody has.
 */
Test(registry, references_that_multiply_end)
{
    struct registry_reference references[REGISTRY_REFERENCES_MAX];
    char names[REGISTRY_REFERENCES_MAX][8], subject[8] = "r0", before[8], text[64];
    cr_assert_eq(put(subject, "{}"), ERR_OK);
    for (int level = 1; level <= 12; level++) {
        memcpy(before, subject, sizeof(before));
        snprintf(subject, sizeof(subject), "r%d", level);
        for (uint32_t i = 0; i < REGISTRY_REFERENCES_MAX; i++) {
            snprintf(names[i], sizeof(names[i]), "n%u", i);
            references[i] = (struct registry_reference){ bytes_of(names[i]), bytes_of(before), 1 };
        }
        snprintf(text, sizeof(text), "{\"maxLength\":%d}", level);
        cr_assert_eq(put_with(subject, text, references, REGISTRY_REFERENCES_MAX), ERR_OK, "%s", why);
    }
    cr_assert_eq(put_with("last", "{\"$ref\":\"nobody\"}", references, REGISTRY_REFERENCES_MAX),
                 ERR_SCHEMA_REFERENCE);
}

Test(registry, what_is_refused_changes_nothing)
{
    static char large[REGISTRY_TEXT_MAX + 64];
    char name[REGISTRY_SUBJECT_MAX + 2];
    struct registry_row row = { .subject = bytes_of("") };
    cr_assert_eq(put("s", "{\"type\":\"strnig\"}"), ERR_SCHEMA_INVALID);
    cr_assert(strstr(why, "$.type") != NULL, "%s", why);
    cr_assert_eq(put("s", "{"), ERR_SCHEMA_INVALID);
    cr_assert_eq(put("", "{}"), ERR_SUBJECT_NAME_INVALID);
    cr_assert_eq(put("a b", "{}"), ERR_SUBJECT_NAME_INVALID);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    cr_assert_eq(put(name, "{}"), ERR_SUBJECT_NAME_INVALID);
    memset(large, ' ', sizeof(large) - 1);
    const struct registry_candidate candidate = { REGISTRY_JSON, bytes_of(large), NULL, 0 };
    cr_assert_eq(registry_register(registry, bytes_of("s"), &candidate, false, &change, why),
                 ERR_SCHEMA_LIMIT);
    cr_assert(!registry_next(registry, true, &row));
    cr_assert_eq(put("s", CLOSED(A)), ERR_OK);
    cr_assert_eq(put("s", CLOSED(B)), ERR_SCHEMA_INCOMPATIBLE);
    cr_assert_eq(get("s", 0).version, 1);
    cr_assert_eq(registry_get(registry, bytes_of("s"), 2, false, &row, why), ERR_SCHEMA_NOT_FOUND);
    cr_assert_eq(registry_get(registry, bytes_of("x"), 0, false, &row, why), ERR_SUBJECT_NOT_FOUND);
}

Test(registry, everything_is_there_after_checkpoints)
{
    char subject[32], text[256];
    struct registry_row row = { .subject = bytes_of("") };
    uint32_t n = 0;
    for (int i = 0; i < 300; i++) {
        snprintf(subject, sizeof(subject), "s%03d", i % 100);
        snprintf(text, sizeof(text), "{\"type\":\"string\",\"maxLength\":%d}", i + 1);
        cr_assert_eq(put(subject, text), ERR_OK, "%s", why);
        if (i % 40 == 39)
            restart();
    }
    restart();
    while (registry_next(registry, false, &row)) {
        snprintf(subject, sizeof(subject), "s%03d", n / 3);
        cr_assert(bytes_same(row.subject, bytes_of(subject)) && row.version == n % 3 + 1);
        n++;
    }
    cr_assert_eq(n, 300);
}
