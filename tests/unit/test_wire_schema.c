/* SPDX-License-Identifier: Apache-2.0
 *
 * The bodies of the registry's operations: what is put is got back the same, and whatever is cut off or left
 * over is refused.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire_schema.h"

static bool same(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Gets every shorter input and one longer, each in memory of its own, so that AddressSanitizer sees any read
 * behind it. */
#define BODY(name, in, got)                                                                                  \
    do {                                                                                                     \
        static uint8_t big[1024];                                                                            \
        struct writer w = writer_of(big, sizeof(big));                                                       \
        wire_put_##name(&w, &in);                                                                            \
        cr_assert(!w.bad, #name);                                                                            \
        const uint32_t len = writer_len(&w);                                                                 \
        for (uint32_t n = 0; n <= len + 1; n++) {                                                            \
            uint8_t *cut = calloc(1, n ? n : 1);                                                             \
            memcpy(cut, big, n < len ? n : len);                                                             \
            struct reader r = reader_of(cut, n);                                                             \
            cr_assert_eq(got, n == len, #name ": %u of %u bytes", n, len);                                   \
            free(cut);                                                                                       \
        }                                                                                                    \
        struct reader r = reader_of(big, len);                                                               \
        cr_assert(got);                                                                                      \
    } while (0)

static const struct wire_schema schema = {
    .type = 1,
    .reference_count = 2,
    .references = { { { (const uint8_t *)"a.json", 6 }, { (const uint8_t *)"a", 1 }, 3 },
                    { { (const uint8_t *)"b", 1 }, { (const uint8_t *)"bb", 2 }, UINT32_MAX } },
    .text = { (const uint8_t *)"{\"a\":1}", 7 }
};

static bool schema_same(const struct wire_schema *a)
{
    bool equal = a->type == schema.type && a->reference_count == 2 && same(a->text, schema.text);
    for (int i = 0; i < 2; i++)
        equal &= same(a->references[i].name, schema.references[i].name) &&
                 same(a->references[i].subject, schema.references[i].subject) &&
                 a->references[i].version == schema.references[i].version;
    return equal;
}

Test(wire_schema, schemas)
{
    const struct wire_schema_put in = {
        .subject = bytes_of("s"), .flags = 1, .version = 9, .schema = schema
    };
    static struct wire_schema_put out;
    BODY(schema_put, in, wire_get_schema_put(r, &out));
    cr_assert(same(out.subject, in.subject) && out.flags == 1 && out.version == 9 &&
              schema_same(&out.schema));
    const struct wire_schema_row row = { bytes_of("s"), 2, 7, 1, -5, schema };
    static struct wire_schema_row row_out;
    BODY(schema_row, row, wire_get_schema_row(r, &row_out));
    cr_assert(row_out.version == 2 && row_out.id == 7 && row_out.deleted == 1 && row_out.created_ms == -5);
    cr_assert(schema_same(&row_out.schema));
}

Test(wire_schema, more_references_than_there_may_be)
{
    uint8_t big[4096];
    struct writer w = writer_of(big, sizeof(big));
    struct wire_schema_put out;
    write_str(&w, bytes_of("s"));
    write_u8(&w, 0);
    write_u32(&w, 0);
    write_u8(&w, 1);
    write_u16(&w, WIRE_SCHEMA_REFERENCES_MAX + 1);
    for (int i = 0; i <= WIRE_SCHEMA_REFERENCES_MAX; i++) {
        write_str(&w, bytes_of("n"));
        write_str(&w, bytes_of("s"));
        write_u32(&w, 1);
    }
    write_blob(&w, bytes_of("{}"));
    cr_assert(!wire_get_schema_put(reader_of(big, writer_len(&w)), &out));
}

Test(wire_schema, the_others)
{
    const struct wire_schema_registered made = { 3, 4, 1 };
    struct wire_schema_registered made_out;
    BODY(schema_registered, made, wire_get_schema_registered(r, &made_out));
    cr_assert(made_out.version == 3 && made_out.id == 4 && made_out.made == 1);
    const struct wire_schema_objection objection = { 2, 1, bytes_of("X"), bytes_of("#/a") };
    struct wire_schema_objection objection_out;
    BODY(schema_objection, objection, (wire_get_schema_objection(&r, &objection_out), reader_done(&r)));
    cr_assert(objection_out.forward == 1 && same(objection_out.path, objection.path));
    const struct wire_schema_get get = { bytes_of("s"), 1, 2, 1 };
    struct wire_schema_get get_out;
    BODY(schema_get, get, wire_get_schema_get(r, &get_out));
    cr_assert(get_out.version == 1 && get_out.id == 2 && get_out.deleted == 1);
    const struct wire_schema_list list = { bytes_of("s*"), 1, bytes_of("s1"), 4, 100 };
    struct wire_schema_list list_out;
    BODY(schema_list, list, wire_get_schema_list(r, &list_out));
    cr_assert(same(list_out.after, list.after) && list_out.after_version == 4 && list_out.max == 100);
    const struct wire_schema_list_row row = { bytes_of("s"), 1, 2, 0, 1, 6, 99, 1000 };
    struct wire_schema_list_row row_out;
    BODY(schema_list_row, row, (wire_get_schema_list_row(&r, &row_out), reader_done(&r)));
    cr_assert(row_out.level == 6 && row_out.created_ms == 99 && row_out.bytes == 1000);
    const struct wire_schema_delete delete = { bytes_of("s"), 1, 1 };
    struct wire_schema_delete delete_out;
    BODY(schema_delete, delete, wire_get_schema_delete(r, &delete_out));
    cr_assert(delete_out.version == 1 && delete_out.permanent == 1);
    const struct wire_schema_level level = { bytes_of(""), 1, 7 };
    struct wire_schema_level level_out;
    BODY(schema_level, level, wire_get_schema_level(r, &level_out));
    cr_assert(level_out.set == 1 && level_out.level == 7);
}
