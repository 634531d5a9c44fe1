/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults by count, and the commands that set them.
 */
#include "powerfs_faults.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const fault_names[FAULT_OPS] = { "write", "fsync", "read", "open", "create", "fallocate" };

static bool faults_apply(const struct faults *faults, const char *path)
{
    return !faults->only[0] || (path && strstr(path, faults->only));
}

uint64_t faults_delay(const struct faults *faults, enum fault_op op, const char *path)
{
    return faults_apply(faults, path) ? faults->ops[op].delay_us : 0;
}

int faults_hit(struct faults *faults, struct disk *disk, enum fault_op op, const char *path)
{
    if (disk->dead)
        return -EIO;
    faults->ops[op].done++;
    if (!faults_apply(faults, path))
        return 0;
    if (faults->ops[op].cut_at > 0 && --faults->ops[op].cut_at == 0) {
        disk_cut(disk, &faults->ops[op].cut);
        return -EIO;
    }
    if (faults->ops[op].fail_at == 0 || --faults->ops[op].fail_at > 0)
        return 0;
    faults->ops[op].failed++;
    if (faults->ops[op].fail_count > 0)
        faults->ops[op].fail_count--;
    faults->ops[op].fail_at = faults->ops[op].fail_count != 0; /* the next one as well, or never again */
    return -faults->ops[op].error;
}

uint64_t faults_write_bytes(struct faults *faults, uint64_t count, const char *path)
{
    if (faults->short_at == 0 || !faults_apply(faults, path) || --faults->short_at > 0)
        return count;
    return faults->short_bytes < count ? faults->short_bytes : count;
}

static bool op_of(const char *name, enum fault_op *op)
{
    for (int i = 0; i < FAULT_OPS; i++)
        if (strcmp(name, fault_names[i]) == 0) {
            *op = (enum fault_op)i;
            return true;
        }
    return false;
}

static bool cut_of(const char *text, struct cut *cut)
{
    char kind[16] = "none";
    uint64_t a = 0, b = 0;
    int got = sscanf(text, "%15s %" SCNu64 " %" SCNu64, kind, &a, &b);
    static const char *const kinds[] = { "none", "all", "rand", "sect", "prefix" };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kind, kinds[i]) == 0) {
            *cut = (struct cut){ .kind = (enum cut_kind)i, .seed = a, .count = a, .bytes = b };
            return i < CUT_RANDOM || got >= (i == CUT_PREFIX ? 3 : 2);
        }
    return false;
}

static int command_fail(struct faults *faults, const char *rest)
{
    char name[16];
    enum fault_op op;
    int64_t at, count = 1;
    int error;
    if (sscanf(rest, "%15s %" SCNd64 " %d %" SCNd64, name, &at, &error, &count) < 3 || !op_of(name, &op))
        return -EINVAL;
    if (at < 1 || error < 1 || count == 0)
        return -EINVAL;
    faults->ops[op].fail_at = at;
    faults->ops[op].error = error;
    faults->ops[op].fail_count = count;
    return 0;
}

static int command_at(struct faults *faults, const char *rest)
{
    char name[16];
    enum fault_op op;
    int64_t at;
    int used = 0;
    struct cut cut;
    if (sscanf(rest, "%15s %" SCNd64 " cut %n", name, &at, &used) < 2 || used == 0 || at < 1 ||
        !op_of(name, &op) || !cut_of(rest + used, &cut))
        return -EINVAL;
    faults->ops[op].cut_at = at;
    faults->ops[op].cut = cut;
    return 0;
}

static int command_flip(struct disk *disk, const char *rest)
{
    char path[FAULT_TEXT];
    uint64_t at;
    unsigned bit;
    if (sscanf(rest, "%255s %" SCNu64 " %u", path, &at, &bit) != 3)
        return -EINVAL;
    struct node *node = disk_find(disk, path);
    return node ? disk_flip(node, at, bit) : -ENOENT;
}

static int command_delay(struct faults *faults, const char *rest)
{
    char name[16];
    enum fault_op op;
    uint64_t us;
    if (sscanf(rest, "%15s %" SCNu64, name, &us) != 2 || !op_of(name, &op))
        return -EINVAL;
    faults->ops[op].delay_us = us;
    return 0;
}

static int command_only(struct faults *faults, const char *rest)
{
    char text[FAULT_TEXT];
    if (sscanf(rest, "%255s", text) != 1)
        return -EINVAL;
    snprintf(faults->only, sizeof(faults->only), "%s", strcmp(text, "*") == 0 ? "" : text);
    return 0;
}

static int command_zero(struct faults *faults)
{
    memset(faults, 0, sizeof(*faults));
    return 0;
}

static int command_cut(struct disk *disk, const char *rest)
{
    struct cut cut;
    if (!cut_of(rest, &cut))
        return -EINVAL;
    disk_cut(disk, &cut);
    return 0;
}

int faults_command(struct faults *faults, struct disk *disk, const char *line)
{
    char verb[16] = "";
    int used = 0;
    int64_t number;
    sscanf(line, "%15s %n", verb, &used);
    const char *rest = line + used;
    if (strcmp(verb, "cut") == 0)
        return command_cut(disk, rest);
    if (strcmp(verb, "heal") == 0)
        return disk_heal(disk), 0;
    if (strcmp(verb, "fail") == 0)
        return command_fail(faults, rest);
    if (strcmp(verb, "at") == 0)
        return command_at(faults, rest);
    if (strcmp(verb, "flip") == 0)
        return command_flip(disk, rest);
    if (strcmp(verb, "delay") == 0)
        return command_delay(faults, rest);
    if (strcmp(verb, "only") == 0)
        return command_only(faults, rest);
    if (strcmp(verb, "zero") == 0)
        return command_zero(faults);
    if (strcmp(verb, "short") == 0)
        return sscanf(rest, "%" SCNd64 " %" SCNu64, &faults->short_at, &faults->short_bytes) == 2 ? 0
                                                                                                  : -EINVAL;
    if (sscanf(rest, "%" SCNd64, &number) != 1)
        return -EINVAL;
    if (strcmp(verb, "gate") == 0)
        return faults->gate = number != 0, 0;
    if (strcmp(verb, "cap") == 0)
        return disk->limit = number < 0 ? UINT64_MAX : (uint64_t)number, 0;
    return -EINVAL;
}

int faults_report(const struct faults *faults, const struct disk *disk, char *out, size_t bytes)
{
    int n = snprintf(out, bytes, "dead=%d pending=%" PRIu64 " used=%" PRIu64, disk->dead, disk->pending,
                     disk->used);
    for (int i = 0; i < FAULT_OPS; i++)
        n += snprintf(out + n, bytes - (size_t)n, " %s=%" PRIu64 "/%" PRIu64, fault_names[i],
                      faults->ops[i].done, faults->ops[i].failed);
    n += snprintf(out + n, bytes - (size_t)n, "\n");
    return n;
}
