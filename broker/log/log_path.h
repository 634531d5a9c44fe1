/* SPDX-License-Identifier: Apache-2.0
 *
 * log/log_path.h: inside the room: where files are, and how a sentence about one of them is said.
 */
#ifndef RUNNEL_LOG_LOG_PATH_H
#define RUNNEL_LOG_LOG_PATH_H

#include <stdint.h>

#include "log/log.h"

/* Writes "<topic>/<partition>/<base>.<suffix>: " and the sentence into `why` (LOG_WHY_BYTES; NULL: nothing).
 * Only the end of `dir` is named: it tells the file apart, and leaves room for the sentence. */
__attribute__((format(printf, 5, 6))) void log_say(char *why, const char *dir, uint64_t base_offset,
                                                   const char *suffix, const char *format, ...);
/* Cuts the last component off `path`; false when there is none left. */
bool log_path_parent(char *path);

#endif
