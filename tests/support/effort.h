/* SPDX-License-Identifier: Apache-2.0
 *
 * support/effort.h: how much of something a test does.
 *
 * Three amounts: in a normal run; under the sanitizers, where code is many times slower and a wrong access
 * shows itself sooner than a wrong answer; and in a long run (./dev test --long, RUNNEL_LONG=1).
 *
 * Random tests run one seed after another: RUNNEL_SIM_SEEDS=N says how many, RUNNEL_SIM_SEED=x that one only.
 */
#ifndef RUNNEL_SUPPORT_EFFORT_H
#define RUNNEL_SUPPORT_EFFORT_H

#include <stdint.h>
#include <stdlib.h>

static inline uint64_t effort(uint64_t normal, uint64_t sanitized, uint64_t full)
{
    if (getenv("RUNNEL_LONG"))
        return full;
#ifdef __SANITIZE_ADDRESS__
    (void)normal;
    return sanitized;
#else
    (void)sanitized;
    return normal;
#endif
}

struct effort_seeds {
    uint64_t first, end;
};

static inline struct effort_seeds effort_seeds(uint64_t normal, uint64_t sanitized, uint64_t full)
{
    const char *only = getenv("RUNNEL_SIM_SEED"), *count = getenv("RUNNEL_SIM_SEEDS");
    const uint64_t first = only ? strtoull(only, NULL, 10) : 1;
    return (struct effort_seeds){ first, first + (only    ? 1
                                                  : count ? strtoull(count, NULL, 10)
                                                          : effort(normal, sanitized, full)) };
}

#endif
