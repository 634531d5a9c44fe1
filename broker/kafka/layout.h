/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/layout.h: what a request consists of, written down in a line, and holding bytes to it.
 *
 * A layout is a row of fields, blanks between them as one likes:
 *
 *   b h i l u     integers of 1, 2, 4, 8 and 16 bytes (bool, int16, int32, int64, uuid)
 *   s S           string; nullable string
 *   y Y           bytes or records; nullable
 *   [...] {...}   array of structs with these fields; nullable array
 *   <x> (x)       array of x, one of the above; nullable array
 *   3:x 0-5:x     a field that is there from version 3 on; from 0 to 5
 *
 * Tagged fields are not named: those of flexible versions are read over wherever a struct ends.
 */
#ifndef RUNNEL_KAFKA_LAYOUT_H
#define RUNNEL_KAFKA_LAYOUT_H

#include "kafka/codec.h"

/* Are the bytes of `in` such a body? More may follow, as Kafka allows. Time: as many steps as bytes. */
bool layout_holds(struct kafka_in in, const char *layout);

#endif
