/* SPDX-License-Identifier: Apache-2.0
 *
 * client/envelope/identity.c: UUIDs: random (version 4), ordered by time (7), derived from content (8); RFC
 * 9562.
 *
 * Ids must be unique, not secret: they come from a fast generator (xoshiro256++, D. Blackman and S. Vigna)
 * that the kernel's randomness seeds with 256 bits. Its state lies in a page that the kernel empties in a
 * forked process (MADV_WIPEONFORK): parent and child never make the same ids.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/client.h"
#include "client/envelope/envelope.h"

struct entropy {
    uint64_t s[4]; /* all zero: to be seeded */
    int64_t last_ms;
    uint32_t counter; /* of version 7, within last_ms */
    pid_t owner;      /* where no page can be emptied; else 0 */
};

struct entropy *entropy_new(void)
{
    struct entropy *en = mmap(NULL, sizeof(*en), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (en == MAP_FAILED)
        return NULL;
    if (madvise(en, sizeof(*en), MADV_WIPEONFORK) < 0)
        en->owner = getpid();
    return en;
}

void entropy_free(struct entropy *en)
{
    if (en)
        munmap(en, sizeof(*en));
}

static void entropy_seed(struct entropy *en)
{
    size_t got = 0;
    while (got < sizeof(en->s)) {
        const ssize_t n = getrandom((uint8_t *)en->s + got, sizeof(en->s) - got, 0);
        got += n > 0 ? (size_t)n : 0; /* interrupted: again; it cannot fail otherwise */
    }
    en->s[0] |= 1; /* not all zero */
    en->last_ms = 0;
}

static inline uint64_t rotate(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static uint64_t entropy_next(struct entropy *en)
{
    uint64_t *s = en->s;
    const uint64_t result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void entropy_bytes(struct entropy *en, uint8_t out[16])
{
    if (!(en->s[0] | en->s[1] | en->s[2] | en->s[3]))
        entropy_seed(en);
    if (en->owner && en->owner != getpid()) {
        en->owner = getpid();
        entropy_seed(en);
    }
    const uint64_t a = entropy_next(en), b = entropy_next(en);
    memcpy(out, &a, 8);
    memcpy(out + 8, &b, 8);
}

/* Sets version and variant, and writes the digits. */
static void uuid_print(uint8_t id[16], uint8_t version, char *out)
{
    static const char hex[] = "0123456789abcdef";
    id[6] = (uint8_t)((id[6] & 0x0f) | version << 4);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    for (int i = 0; i < 16; i++) {
        *out++ = hex[id[i] >> 4];
        *out++ = hex[id[i] & 15];
        if (i == 3 || i == 5 || i == 7 || i == 9)
            *out++ = '-';
    }
}

void uuid_v4(struct entropy *en, char out[UUID_TEXT])
{
    uint8_t id[16];
    entropy_bytes(en, id);
    uuid_print(id, 4, out);
}

void uuid_v7(struct entropy *en, int64_t now_ms, char out[UUID_TEXT])
{
    /* 12 bits behind the milliseconds count what is made within one; when they overflow, or the clock goes
     * back, the time runs ahead a little instead of the order being lost (RFC 9562, 6.2). */
    uint8_t id[16];
    entropy_bytes(en, id);
    if (now_ms > en->last_ms) {
        en->last_ms = now_ms;
        en->counter = id[7] & 0x7f; /* leaves room to count in */
    } else if (++en->counter > 0xfff) {
        en->last_ms++;
        en->counter = 0;
    }
    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t)(en->last_ms >> (40 - 8 * i));
    id[6] = (uint8_t)(en->counter >> 8);
    id[7] = (uint8_t)en->counter;
    uuid_print(id, 7, out);
}

void uuid_v8(const uint8_t hash[16], char out[UUID_TEXT])
{
    uint8_t id[16];
    memcpy(id, hash, sizeof(id));
    uuid_print(id, 8, out);
}

/* ---- content ---- */

/* A length before each part: "ab" "c" and "a" "bc" are not the same. UINT64_MAX: there is none. */
static bool digest_part(EVP_MD_CTX *digest, struct bytes part)
{
    uint8_t length[8];
    const uint64_t n = part.at ? part.len : UINT64_MAX;
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(n >> (56 - 8 * i));
    return EVP_DigestUpdate(digest, length, sizeof(length)) &&
           (!part.len || EVP_DigestUpdate(digest, part.at, part.len));
}

static struct bytes bytes_from(const void *at, size_t len)
{
    return (struct bytes){ at, at ? (uint32_t)len : 0 };
}

int uuid_of_content(struct runnel_envelope *e, struct bytes type, const struct runnel_event *event,
                    char out[UUID_TEXT])
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    struct bytes payload = bytes_from(event->value, event->value_len);
    const int64_t canonical = payload.at ? canonical_json(e, payload) : 0;
    if (!e->digest)
        e->digest = EVP_MD_CTX_new();
    if (canonical < 0 || !e->digest)
        return client_error(NULL, ERR_CLIENT_QUEUE_FULL, "no memory to derive an id from the content");
    if (canonical > 0)
        payload = bytes_from(e->scratch, (size_t)canonical);
    if (!EVP_DigestInit_ex(e->digest, EVP_sha256(), NULL) || !digest_part(e->digest, bytes_of(e->service)) ||
        !digest_part(e->digest, type) || !digest_part(e->digest, bytes_from(event->key, event->key_len)) ||
        !digest_part(e->digest, envelope_value(e, ENVELOPE_CAUSATION)) || !digest_part(e->digest, payload) ||
        !EVP_DigestFinal_ex(e->digest, hash, NULL))
        return client_error(NULL, ERR_CLIENT_ARGUMENT, "SHA-256 is not to be had from this OpenSSL");
    uuid_v8(hash, out);
    return 0;
}

bool node_id(char out[UUID_TEXT + 1])
{
    char id[64] = "";
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len;
    FILE *in = fopen("/etc/machine-id", "re");
    const bool read = in && fgets(id, sizeof(id), in) != NULL;
    if (in)
        fclose(in);
    id[strcspn(id, "\n")] = '\0';
    /* machine-id(5): not to be told to others, but what is derived from it with a key may be. */
    if (!read || strlen(id) < 32 ||
        !HMAC(EVP_sha256(), id, (int)strlen(id), (const uint8_t *)"runnel node", 11, hash, &len))
        return false;
    uuid_v8(hash, out);
    out[UUID_TEXT] = '\0';
    return true;
}
