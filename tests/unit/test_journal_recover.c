/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of broker/journal's recovery: writes torn at every byte, in every order that two writes in flight
 * allow, over zeros and over old contents; every byte flipped; files missing, foreign, doubled.
 *
 * The rule in all of them: what comes back is a prefix of what was written, with everything that was durable,
 * or the journal is refused by name. And what a start decided stays decided at the next one.
 */
#include "effort.h"
#include "journal_rig.h"

/* ---- helpers ---- */

/* Where the write that brought a commit went: with the first commit of a file goes the file's header. */
struct region {
    unsigned file;
    size_t position, bytes;
    bool header;
};

static bool region_find(const struct image *image, uint64_t sequence, struct region *out)
{
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_file *f = &image->files[i];
        struct journal_file_header head;
        if (journal_file_header_decode(f->bytes, &head) != JOURNAL_VALID)
            continue;
        for (size_t at = JOURNAL_BLOCK; at < f->size; at += JOURNAL_BLOCK) {
            struct journal_commit c;
            if (journal_commit_decode(f->bytes + at, f->size - at, &c) != JOURNAL_VALID ||
                c.sequence != sequence || c.file != head.number)
                continue;
            bool first = head.first_sequence == sequence;
            size_t bytes = journal_commit_bytes(c.payload_bytes);
            *out = (struct region){ i, first ? 0 : at, first ? at + bytes : bytes, first };
            return true;
        }
    }
    return false;
}

/* Keys in the image that follow the point. */
static unsigned expected_first(const struct rig *r, const uint64_t *sequence_of, unsigned keys)
{
    unsigned first = 1;
    while (first <= keys && sequence_of[first] <= r->from.sequence)
        first++;
    return first;
}

/* Replayed: exactly the keys from `first` up to the result. */
static unsigned check_prefix(const struct rig *r, unsigned first)
{
    cr_assert_not(r->wrong);
    for (unsigned i = 0; i < r->count; i++)
        cr_assert_eq(r->keys[i], first + i);
    return first + r->count - 1;
}

enum tear { REST_OLD, REST_ZERO, START_OLD, TEARS };

/* The bytes of a region after a crash: `k` bytes of one kind, then the other. True when all are the new ones.
 */
static bool tear_apply(struct image *to, const struct image *old, const struct image *new,
                       const struct region *w, size_t k, enum tear tear)
{
    static uint8_t zeros[64 * 1024];
    uint8_t *at = to->files[w->file].bytes + w->position;
    const uint8_t *b = new->files[w->file].bytes + w->position;
    const uint8_t *a = w->file < old->count ? old->files[w->file].bytes + w->position : zeros;
    memcpy(at, tear == START_OLD ? a : b, k);
    memcpy(at + k, tear == START_OLD ? b + k : tear == REST_OLD ? a + k : zeros, w->bytes - k);
    return memcmp(at, b, w->bytes) == 0;
}

/* Opens the image, twice; the second start must find what the first found. Now and then the journal is used
 * further in between. */
static void check_crash(struct rig *r, const struct image *image, unsigned first, unsigned expected,
                        bool go_on)
{
    image_put(image, r->dir);
    const struct journal_point from = r->from;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert_eq(check_prefix(r, first), expected, "%u instead of %u", check_prefix(r, first), expected);
    unsigned more = go_on ? 12 : 0;
    for (unsigned i = 1; i <= more; i++)
        rig_commit(r, expected + i);
    rig_drop(r);
    cr_assert_eq(rig_open(r), 0, "second start: %s", r->why);
    cr_assert_eq(check_prefix(r, first), expected + more);
    rig_drop(r);
    r->from = from;
}

/* A journal with `keys` commits of one entry each, after `laps` files were used and let go; then two writes
 * in flight at once. `old`: before them; `new`: with both. */
struct scene {
    struct rig *r;
    struct image old, new;
    uint64_t sequence_of[400];
    unsigned keys, first;
    struct region w[2];
};

static void scene_make(struct scene *s, unsigned keys, unsigned laps, uint32_t bytes1, uint32_t bytes2)
{
    memset(s, 0, sizeof(*s));
    struct rig *r = s->r = rig_make();
    r->options.files_max = 12;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    unsigned key = 0;
    for (unsigned left = laps * 8 + keys; left > 0; left--) {
        s->sequence_of[++key] = journal_open_sequence(r->journal);
        rig_commit(r, key);
        uint64_t file = journal_open_file(r->journal);
        if (left > keys && file > journal_oldest_file(r->journal) &&
            journal_point_of(r->journal, file, &r->from))
            journal_release(r->journal, file);
    }
    rig_wait_idle(r);
    image_take(&s->old, r->dir);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t bytes = i == 0 ? bytes1 : bytes2;
        cr_assert(journal_room(r->journal, JOURNAL_RESERVED, 1, bytes));
        s->sequence_of[++key] = journal_open_sequence(r->journal);
        rig_add_sized(r, key, bytes);
        journal_submit(r->journal);
        cr_assert_eq(journal_open_sequence(r->journal), s->sequence_of[key] + 1); /* it is under way */
    }
    s->keys = key;
    rig_wait_idle(r);
    rig_drop(r);
    image_take(&s->new, r->dir);
    cr_assert(region_find(&s->new, s->sequence_of[key - 1], &s->w[0]));
    cr_assert(region_find(&s->new, s->sequence_of[key], &s->w[1]));
    s->first = expected_first(r, s->sequence_of, key);
}

static void scene_destroy(struct scene *s)
{
    image_free(&s->old);
    image_free(&s->new);
    rig_destroy(s->r);
}

/* One write of the two is torn at every `step`th byte; the other is whole, or not there. */
static void scene_tear(struct scene *s, unsigned torn, bool other_whole, size_t step)
{
    struct image c;
    image_copy(&c, &s->new);
    unsigned other = 1 - torn, round = 0;
    for (size_t k = 0; k <= s->w[torn].bytes; k += step) {
        for (enum tear t = 0; t < TEARS; t++) {
            bool whole[2];
            whole[other] =
                tear_apply(&c, &s->old, &s->new, &s->w[other], other_whole ? s->w[other].bytes : 0, REST_OLD);
            whole[torn] = tear_apply(&c, &s->old, &s->new, &s->w[torn], k, t);
            unsigned expected = s->keys - 2 + whole[0] + (whole[0] && whole[1]);
            check_crash(s->r, &c, s->first, expected, round++ % 41 == 0);
        }
    }
    image_free(&c);
}

/* ---- torn writes ---- */

Test(journal_recover, first_of_two_writes_torn_at_every_byte)
{
    struct scene s;
    scene_make(&s, 3, 0, 100, 200);
    scene_tear(&s, 0, true, effort(1, 5, 1));
    scene_tear(&s, 0, false, effort(1, 5, 1));
    scene_destroy(&s);
}

Test(journal_recover, second_of_two_writes_torn_at_every_byte)
{
    struct scene s;
    scene_make(&s, 3, 0, 5000, 200);
    scene_tear(&s, 1, true, effort(1, 5, 1));
    scene_tear(&s, 1, false, effort(97, 97, 1));
    scene_destroy(&s);
}

/* At every place in a file, the change to the next one included, over zeros. */
Test(journal_recover, torn_at_every_place)
{
    unsigned headers = 0;
    for (unsigned keys = 1; keys <= 16; keys++) {
        struct scene s;
        scene_make(&s, keys, 0, 100 + keys % 2 * 5000, 200 + keys % 3 * 3000);
        for (unsigned torn = 0; torn < 2; torn++) {
            headers += s.w[torn].header;
            scene_tear(&s, torn, true, 509);
            scene_tear(&s, torn, false, 509);
        }
        scene_destroy(&s);
    }
    cr_assert_gt(headers, 3);
}

/* The same in files that hold what they were used for before. */
Test(journal_recover, torn_over_old_contents)
{
    unsigned headers = 0;
    for (unsigned keys = 1; keys <= 16; keys++) {
        struct scene s;
        scene_make(&s, keys, 6, 100 + keys % 2 * 5000, 200 + keys % 3 * 3000);
        cr_assert_gt(s.r->from.file, 3);
        for (unsigned torn = 0; torn < 2; torn++) {
            headers += s.w[torn].header;
            scene_tear(&s, torn, true, 509);
            scene_tear(&s, torn, false, 509);
        }
        scene_destroy(&s);
    }
    cr_assert_gt(headers, 3);
}

/* A crash while a start writes its opening commit: nothing is lost, and the next start works. */
Test(journal_recover, torn_opening_commit)
{
    for (unsigned keys = 0; keys < 9; keys++) {
        struct rig *r = rig_make();
        r->options.files_max = 6;
        struct image old, new, c;
        if (keys > 0) {
            cr_assert_eq(rig_open(r), 0, "%s", r->why);
            for (unsigned key = 1; key <= keys; key++)
                rig_commit(r, key);
            rig_wait_idle(r);
            rig_drop(r);
        }
        image_take(&old, r->dir);
        cr_assert_eq(rig_open(r), 0, "%s", r->why);
        uint64_t sequence = journal_durable_sequence(r->journal);
        rig_drop(r);
        image_take(&new, r->dir);
        struct region w;
        cr_assert(region_find(&new, sequence, &w));
        image_copy(&c, &new);
        for (size_t k = 0; k <= w.bytes; k += 61)
            for (enum tear t = 0; t < TEARS; t++) {
                tear_apply(&c, &old, &new, &w, k, t);
                check_crash(r, &c, 1, keys, k % 5 == 0);
            }
        image_free(&old);
        image_free(&new);
        image_free(&c);
        rig_destroy(r);
    }
}

/* An event may carry anything, even a commit of this very journal that claims a high durable sequence. */
Test(journal_recover, commits_inside_entries_prove_nothing)
{
    struct rig *r = rig_make();
    r->options.group_bytes = 12 * 1024;
    r->options.file_bytes = 64 * 1024;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    rig_commit(r, 1);
    uint32_t bytes = 3 * JOURNAL_BLOCK - JOURNAL_COMMIT_HEADER - JOURNAL_ENTRY_HEADER;
    cr_assert(journal_room(r->journal, JOURNAL_NORMAL, 1, bytes - 8));
    uint8_t *at = journal_add(r->journal, 1, bytes - 8);
    memset(at, 0, bytes - 8);
    uint32_t inner = JOURNAL_BLOCK - JOURNAL_COMMIT_HEADER - JOURNAL_ENTRY_HEADER;
    struct journal_commit fake = { .sequence = 900, .durable = 899, .file = 1, .id = 77, .epoch = 9 };
    fake.position = 12288; /* where the entry's second copy will not be */
    journal_commit_encode(at + inner, &fake);
    fake.id = 78;
    fake.position = 5 * JOURNAL_BLOCK;
    uint8_t block[JOURNAL_BLOCK];
    journal_commit_encode(block, &fake);
    memcpy(at + inner + JOURNAL_BLOCK, block, bytes - 8 - inner - JOURNAL_BLOCK);
    rig_wait_idle(r);
    rig_drop(r);
    struct image image;
    image_take(&image, r->dir);
    image.files[0].bytes[3 * JOURNAL_BLOCK + 90] ^= 1; /* the commit that holds the entry is torn */
    image_put(&image, r->dir);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    cr_assert_eq(r->count, 1);
    cr_assert_eq(r->report.torn_bytes, 3 * JOURNAL_BLOCK);
    cr_assert_eq(r->report.epoch, 2);
    image_free(&image);
    rig_destroy(r);
}

Test(journal_recover, torn_bytes_are_reported)
{
    struct scene s;
    scene_make(&s, 3, 0, 100, 200);
    s.new.files[s.w[0].file].bytes[s.w[0].position + 200] ^= 1;
    image_put(&s.new, s.r->dir);
    cr_assert_eq(rig_open(s.r), 0);
    cr_assert_eq(s.r->count, 3);
    cr_assert_eq(s.r->report.torn_bytes, 2 * JOURNAL_BLOCK);
    scene_destroy(&s);
}

/* ---- damage ---- */

static unsigned findings;

static void count_finding(void *ctx, const char *file, uint64_t position, const char *text)
{
    (void)ctx;
    (void)position;
    cr_assert(file[0] != 0 && text[0] != 0);
    findings++;
}

static int ignore_entry(void *ctx, const struct journal_entry *entry)
{
    (void)ctx;
    (void)entry;
    return 0;
}

static void check_unchanged(const struct rig *r, const struct image *image)
{
    struct image after;
    image_take(&after, r->dir);
    cr_assert_eq(after.count, image->count);
    for (unsigned i = 0; i < after.count; i++)
        cr_assert_eq(memcmp(after.files[i].bytes, image->files[i].bytes, image->files[i].size), 0);
    image_free(&after);
}

static void file_flip(const struct rig *r, const struct image *image, unsigned file, size_t at)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", r->dir, image->files[file].name);
    int fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, image->files[file].bytes + at, 1, (off_t)at), 1);
    close(fd);
}

/* One bit is wrong. Refused by name, with findings offline; or all that was durable is there. The directory
 * holds `image` before and after. */
static void check_flip(struct rig *r, struct image *image, unsigned file, size_t at, unsigned bit,
                       unsigned keys, unsigned keys_min)
{
    static unsigned refused;
    image->files[file].bytes[at] ^= (uint8_t)(1u << bit);
    file_flip(r, image, file, at);
    int error = rig_open(r);
    if (error == 0) {
        unsigned got = check_prefix(r, 1);
        cr_assert(got >= keys_min && got <= keys, "%u of %u", got, keys);
        rig_drop(r);
    } else {
        cr_assert(error == -EBADMSG || error == -ENOTSUP || error == -ENOENT, "%d %s", error, r->why);
        cr_assert(strstr(r->why, "journal"), "%s", r->why);
        findings = 0;
        struct journal_report report;
        int found = journal_verify(r->dir, &r->from, ignore_entry, NULL, count_finding, NULL, &report);
        cr_assert_gt(found, 0);
        cr_assert_eq((unsigned)found, findings);
        if (refused++ % 100 == 0)
            check_unchanged(r, image);
    }
    image->files[file].bytes[at] ^= (uint8_t)(1u << bit);
    if (error == 0)
        image_put(image, r->dir);
    else
        file_flip(r, image, file, at);
}

/* Three files with entries, restarts in between. */
static void flip_everything(bool sealed)
{
    struct rig *r = rig_make();
    r->options.files_max = 5;
    r->timers = r->options.timers = timers_create(0);
    unsigned key = 0;
    for (unsigned start = 0; start < 3; start++) {
        cr_assert_eq(rig_open(r), 0, "%s", r->why);
        for (unsigned i = 0; i < 5; i++)
            rig_commit(r, ++key);
        rig_wait_idle(r);
        if (start == 2 && sealed) {
            timers_fire(r->timers, r->now_ns += 50000000);
            rig_wait_idle(r);
        }
        rig_drop(r);
    }
    struct image image;
    image_take(&image, r->dir);
    unsigned used = 0;
    for (unsigned f = 0; f < image.count; f++) {
        struct journal_file_header head;
        bool live = journal_file_header_decode(image.files[f].bytes, &head) == JOURNAL_VALID;
        used += live;
        for (size_t at = 0; at < (live ? image.files[f].size : 64); at++) {
            /* Bytes that are zero in a block without entries differ in nothing but their place. */
            if (at % JOURNAL_BLOCK > effort(512, 96, 512) && at % effort(16, 128, 1) != 0)
                continue;
            bool header = at % JOURNAL_BLOCK < JOURNAL_COMMIT_HEADER || at == JOURNAL_BLOCK - 1;
            for (unsigned bit = header ? 0 : at % 8; bit < (header ? 8 : at % 8 + 1); bit++) {
                check_flip(r, &image, f, at, bit, key, sealed ? key : key - 1);
            }
        }
    }
    cr_assert_eq(used, 3);
    image_free(&image);
    rig_destroy(r);
}

Test(journal_recover, every_flip_in_a_sealed_journal, .timeout = 300)
{
    flip_everything(true);
}

Test(journal_recover, every_flip_in_a_journal_without_seal, .timeout = 300)
{
    flip_everything(false);
}

/* A journal over four files; returns how many keys. */
static unsigned make_long(struct rig *r)
{
    r->options.files_max = 6;
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    unsigned key = 0;
    while (journal_open_file(r->journal) < 4)
        rig_commit(r, ++key);
    rig_commit(r, ++key);
    rig_wait_idle(r);
    return key;
}

static void expect_refused(struct rig *r, const struct image *image, int error, const char *word)
{
    image_put(image, r->dir);
    cr_assert_eq(rig_open(r), error, "%s", r->why);
    cr_assert(strstr(r->why, word), "%s", r->why);
}

Test(journal_recover, missing_and_foreign_files_are_refused_by_name)
{
    struct rig *r = rig_make();
    unsigned keys = make_long(r);
    struct journal_point point;
    cr_assert(journal_point_of(r->journal, 2, &point));
    rig_drop(r);
    struct image image, c;
    image_take(&image, r->dir);

    for (unsigned missing = 0; missing < 3; missing++) { /* slots 0 to 3 are numbers 1 to 4 */
        image_copy(&c, &image);
        free(c.files[missing].bytes);
        memmove(&c.files[missing], &c.files[missing + 1], (--c.count - missing) * sizeof(c.files[0]));
        expect_refused(r, &c, -ENOENT, "missing");
        r->from = point;
        if (missing == 0) { /* let go long ago: not needed */
            image_put(&c, r->dir);
            cr_assert_eq(rig_open(r), 0, "%s", r->why);
            cr_assert_eq(r->keys[r->count - 1], keys);
            rig_drop(r);
        } else {
            expect_refused(r, &c, -ENOENT, "missing");
        }
        r->from = (struct journal_point){ 0 };
        image_free(&c);
    }

    image_copy(&c, &image);
    c.files[1].bytes[8] = 9; /* version of a file */
    expect_refused(r, &c, -ENOTSUP, "version 9");
    image_free(&c);

    image_copy(&c, &image);
    c.files[1].bytes[JOURNAL_BLOCK + 4] = 9; /* version of a commit */
    expect_refused(r, &c, -ENOTSUP, "version 9");
    image_free(&c);

    image_copy(&c, &image);
    struct journal_file_header head;
    cr_assert_eq(journal_file_header_decode(c.files[1].bytes, &head), JOURNAL_VALID);
    head.id++;
    journal_file_header_encode(c.files[1].bytes, &head);
    expect_refused(r, &c, -EBADMSG, "another journal");
    head.id--;
    head.number = 4;
    journal_file_header_encode(c.files[1].bytes, &head);
    expect_refused(r, &c, -EBADMSG, "a second file");
    image_free(&c);

    image_copy(&c, &image);
    c.files[2].size -= JOURNAL_BLOCK;
    expect_refused(r, &c, -EBADMSG, "bytes long");
    c.files[2].size += JOURNAL_BLOCK;
    image_free(&c);

    r->from = point;
    r->from.sequence++;
    expect_refused(r, &image, -EBADMSG, "do not belong together");
    r->from = point;
    r->from.position = 1 << 20;
    expect_refused(r, &image, -EBADMSG, "does not have");
    r->from = (struct journal_point){ .file = 9 };
    expect_refused(r, &image, -ENOENT, "number 9");
    image_free(&image);
    rig_destroy(r);
}

/* A commit of two shards, or with a flag of the future, is not understood: refused, not skipped. */
Test(journal_recover, commits_of_the_future_are_refused_by_name)
{
    struct rig *r = rig_make();
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    rig_commit(r, 1);
    rig_drop(r);
    struct image image;
    image_take(&image, r->dir);
    uint8_t *at = image.files[0].bytes + 2 * JOURNAL_BLOCK;
    struct journal_commit c;
    cr_assert_eq(journal_commit_decode(at, JOURNAL_BLOCK, &c), JOURNAL_VALID);
    c.participants = 2;
    journal_commit_encode(at, &c);
    expect_refused(r, &image, -ENOTSUP, "participants 2");
    c.participants = 1;
    c.flags = 1 << 9;
    journal_commit_encode(at, &c);
    expect_refused(r, &image, -ENOTSUP, "flags 512");
    c.flags = 0;
    journal_commit_encode(at, &c);
    image_put(&image, r->dir);
    cr_assert_eq(rig_open(r), 0, "%s", r->why);
    image_free(&image);
    rig_destroy(r);
}

/* Offline, every damage is found and the rest is still read. */
Test(journal_recover, verify_goes_on_behind_damage)
{
    struct rig *r = rig_make();
    unsigned keys = make_long(r);
    rig_drop(r);
    struct image image;
    image_take(&image, r->dir);
    struct region w;
    for (unsigned key = 3; key < keys; key += 9) {
        cr_assert(region_find(&image, key + 1, &w));
        image.files[w.file].bytes[w.position + w.bytes - JOURNAL_BLOCK + 100] ^= 4;
    }
    image_put(&image, r->dir);
    findings = 0;
    struct journal_report report;
    r->count = 0;
    int found = journal_verify(r->dir, NULL, rig_replay, r, count_finding, NULL, &report);
    unsigned damaged = (keys - 3 + 8) / 9;
    cr_assert_eq(found, (int)damaged);
    cr_assert_eq(findings, damaged);
    /* The next one known to be behind each: with one write at a time, the very next. */
    cr_assert_eq(r->count, keys - damaged);
    cr_assert_not(r->wrong);
    cr_assert_eq(report.torn_bytes, 0);
    image_free(&image);
    rig_destroy(r);
}
