/* SPDX-License-Identifier: Apache-2.0
 *
 * The client library as a member of a group, told anything by its broker: fuzz_client.c with other calls.
 */
#define FUZZ_MEMBER 1
#include "fuzz_client.c"
