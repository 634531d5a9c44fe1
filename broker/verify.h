/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/verify.h: `runneld --verify DIR`: checks a data directory that no broker uses just now.
 */
#ifndef RUNNEL_BROKER_VERIFY_H
#define RUNNEL_BROKER_VERIFY_H

/* Prints findings and a summary on stdout as `format` ("table", "json", "jsonl"). Returns the exit code: 0 no
 * damage, 1 it could not be checked, 2 unknown format, 4 damage was found. */
int verify_run(const char *data_dir, const char *format);

#endif
