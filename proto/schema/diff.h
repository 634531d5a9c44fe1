/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/diff.h: what changed from one JSON Schema to the next, and whether data written with the first
 * can be read with the second.
 *
 * The changes, their names, and which of them are compatible are those of Confluent's schema registry
 * (https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/serdes-json.html,
 * "JSON Schema compatibility rules"), which clients and build tools expect: an object that does not close
 * itself with additionalProperties is an open content model, to which a property cannot be added, since data
 * may hold that name with anything in it. Keywords that those rules do not speak of (format, contains, if,
 * propertyNames) are not compared. Forward compatibility is the same question with the two schemas exchanged.
 */
#ifndef RUNNEL_PROTO_SCHEMA_DIFF_H
#define RUNNEL_PROTO_SCHEMA_DIFF_H

#include "proto/schema/schema.h"

enum { CHANGE_NOTE, CHANGE_FINE, CHANGE_BREAKS }; /* a note changes nothing about which values fit */

/* X(NAME, what it means for old data) */
#define SCHEMA_CHANGES(X)                                                                                    \
    X(ID_CHANGED, NOTE)                                                                                      \
    X(DESCRIPTION_CHANGED, NOTE)                                                                             \
    X(TITLE_CHANGED, NOTE)                                                                                   \
    X(DEFAULT_CHANGED, NOTE)                                                                                 \
    X(SCHEMA_ADDED, BREAKS)                                                                                  \
    X(SCHEMA_REMOVED, FINE)                                                                                  \
    X(TYPE_EXTENDED, FINE)                                                                                   \
    X(TYPE_NARROWED, BREAKS)                                                                                 \
    X(TYPE_CHANGED, BREAKS)                                                                                  \
    X(MAX_LENGTH_ADDED, BREAKS)                                                                              \
    X(MAX_LENGTH_REMOVED, FINE)                                                                              \
    X(MAX_LENGTH_INCREASED, FINE)                                                                            \
    X(MAX_LENGTH_DECREASED, BREAKS)                                                                          \
    X(MIN_LENGTH_ADDED, BREAKS)                                                                              \
    X(MIN_LENGTH_REMOVED, FINE)                                                                              \
    X(MIN_LENGTH_INCREASED, BREAKS)                                                                          \
    X(MIN_LENGTH_DECREASED, FINE)                                                                            \
    X(PATTERN_ADDED, BREAKS)                                                                                 \
    X(PATTERN_REMOVED, FINE)                                                                                 \
    X(PATTERN_CHANGED, BREAKS)                                                                               \
    X(MAXIMUM_ADDED, BREAKS)                                                                                 \
    X(MAXIMUM_REMOVED, FINE)                                                                                 \
    X(MAXIMUM_INCREASED, FINE)                                                                               \
    X(MAXIMUM_DECREASED, BREAKS)                                                                             \
    X(MINIMUM_ADDED, BREAKS)                                                                                 \
    X(MINIMUM_REMOVED, FINE)                                                                                 \
    X(MINIMUM_INCREASED, BREAKS)                                                                             \
    X(MINIMUM_DECREASED, FINE)                                                                               \
    X(EXCLUSIVE_MAXIMUM_ADDED, BREAKS)                                                                       \
    X(EXCLUSIVE_MAXIMUM_REMOVED, FINE)                                                                       \
    X(EXCLUSIVE_MAXIMUM_INCREASED, FINE)                                                                     \
    X(EXCLUSIVE_MAXIMUM_DECREASED, BREAKS)                                                                   \
    X(EXCLUSIVE_MINIMUM_ADDED, BREAKS)                                                                       \
    X(EXCLUSIVE_MINIMUM_REMOVED, FINE)                                                                       \
    X(EXCLUSIVE_MINIMUM_INCREASED, BREAKS)                                                                   \
    X(EXCLUSIVE_MINIMUM_DECREASED, FINE)                                                                     \
    X(MULTIPLE_OF_ADDED, BREAKS)                                                                             \
    X(MULTIPLE_OF_REMOVED, FINE)                                                                             \
    X(MULTIPLE_OF_EXPANDED, BREAKS)                                                                          \
    X(MULTIPLE_OF_REDUCED, FINE)                                                                             \
    X(MULTIPLE_OF_CHANGED, BREAKS)                                                                           \
    X(REQUIRED_ATTRIBUTE_ADDED, BREAKS)                                                                      \
    X(REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED, FINE)                                                           \
    X(REQUIRED_ATTRIBUTE_REMOVED, FINE)                                                                      \
    X(MAX_PROPERTIES_ADDED, BREAKS)                                                                          \
    X(MAX_PROPERTIES_REMOVED, FINE)                                                                          \
    X(MAX_PROPERTIES_INCREASED, FINE)                                                                        \
    X(MAX_PROPERTIES_DECREASED, BREAKS)                                                                      \
    X(MIN_PROPERTIES_ADDED, BREAKS)                                                                          \
    X(MIN_PROPERTIES_REMOVED, FINE)                                                                          \
    X(MIN_PROPERTIES_INCREASED, BREAKS)                                                                      \
    X(MIN_PROPERTIES_DECREASED, FINE)                                                                        \
    X(ADDITIONAL_PROPERTIES_ADDED, FINE)                                                                     \
    X(ADDITIONAL_PROPERTIES_REMOVED, BREAKS)                                                                 \
    X(ADDITIONAL_PROPERTIES_EXTENDED, FINE)                                                                  \
    X(ADDITIONAL_PROPERTIES_NARROWED, BREAKS)                                                                \
    X(DEPENDENCY_ARRAY_ADDED, BREAKS)                                                                        \
    X(DEPENDENCY_ARRAY_REMOVED, FINE)                                                                        \
    X(DEPENDENCY_ARRAY_EXTENDED, BREAKS)                                                                     \
    X(DEPENDENCY_ARRAY_NARROWED, FINE)                                                                       \
    X(DEPENDENCY_ARRAY_CHANGED, BREAKS)                                                                      \
    X(DEPENDENCY_SCHEMA_ADDED, BREAKS)                                                                       \
    X(DEPENDENCY_SCHEMA_REMOVED, FINE)                                                                       \
    X(PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL, BREAKS)                                                          \
    X(PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL, FINE)                                          \
    X(REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL, BREAKS)                                               \
    X(REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_UNOPEN_CONTENT_MODEL, FINE)                                    \
    X(OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL, FINE)                                                 \
    X(PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL, FINE)                                       \
    X(PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL, BREAKS)                                    \
    X(PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL, FINE)                                                        \
    X(PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL, BREAKS)                                                    \
    X(PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL, FINE)                                           \
    X(PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL, FINE)                                     \
    X(PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL, BREAKS)                                  \
    X(MAX_ITEMS_ADDED, BREAKS)                                                                               \
    X(MAX_ITEMS_REMOVED, FINE)                                                                               \
    X(MAX_ITEMS_INCREASED, FINE)                                                                             \
    X(MAX_ITEMS_DECREASED, BREAKS)                                                                           \
    X(MIN_ITEMS_ADDED, BREAKS)                                                                               \
    X(MIN_ITEMS_REMOVED, FINE)                                                                               \
    X(MIN_ITEMS_INCREASED, BREAKS)                                                                           \
    X(MIN_ITEMS_DECREASED, FINE)                                                                             \
    X(UNIQUE_ITEMS_ADDED, BREAKS)                                                                            \
    X(UNIQUE_ITEMS_REMOVED, FINE)                                                                            \
    X(ADDITIONAL_ITEMS_ADDED, FINE)                                                                          \
    X(ADDITIONAL_ITEMS_REMOVED, BREAKS)                                                                      \
    X(ADDITIONAL_ITEMS_EXTENDED, FINE)                                                                       \
    X(ADDITIONAL_ITEMS_NARROWED, BREAKS)                                                                     \
    X(ITEM_ADDED_TO_OPEN_CONTENT_MODEL, BREAKS)                                                              \
    X(ITEM_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL, FINE)                                              \
    X(ITEM_ADDED_TO_CLOSED_CONTENT_MODEL, FINE)                                                              \
    X(ITEM_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL, FINE)                                           \
    X(ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL, BREAKS)                                        \
    X(ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL, FINE)                                                            \
    X(ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL, BREAKS)                                                        \
    X(ITEM_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL, FINE)                                               \
    X(ITEM_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL, FINE)                                         \
    X(ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL, BREAKS)                                      \
    X(ENUM_ARRAY_EXTENDED, FINE)                                                                             \
    X(ENUM_ARRAY_NARROWED, BREAKS)                                                                           \
    X(ENUM_ARRAY_CHANGED, BREAKS)                                                                            \
    X(COMBINED_TYPE_EXTENDED, FINE)                                                                          \
    X(COMBINED_TYPE_CHANGED, BREAKS)                                                                         \
    X(COMBINED_TYPE_SUBSCHEMAS_CHANGED, BREAKS)                                                              \
    X(PRODUCT_TYPE_EXTENDED, BREAKS)                                                                         \
    X(PRODUCT_TYPE_NARROWED, FINE)                                                                           \
    X(SUM_TYPE_EXTENDED, FINE)                                                                               \
    X(SUM_TYPE_NARROWED, BREAKS)                                                                             \
    X(NOT_TYPE_EXTENDED, BREAKS)                                                                             \
    X(NOT_TYPE_NARROWED, FINE)

enum schema_change {
#define X(name, effect) CHANGE_##name,
    SCHEMA_CHANGES(X)
#undef X
};

enum { DIFFERENCES_MAX = 1024, DIFFERENCE_PATH_BYTES = 160 };

struct schema_difference {
    enum schema_change change;
    char path[DIFFERENCE_PATH_BYTES]; /* "#/properties/a/type", cut to what fits */
};

struct schema_version {
    struct bytes text;
    struct schema_options options; /* resolve, ctx, base, draft */
};

struct schema_diff {
    struct schema_difference *rows; /* in the arena */
    uint32_t count;
    bool compatible; /* none of them breaks */
};

/* Data written with `old`, read with `new`. ERR_OK, or what schema_compile() says of either, or
 * ERR_SCHEMA_LIMIT: too large to compare. Both are schemas that compile. */
enum error schema_diff(struct arena *arena, const struct schema_version *old,
                       const struct schema_version *new, struct schema_diff *diff, char *why);
const char *schema_change_name(enum schema_change change);
int schema_change_effect(enum schema_change change); /* CHANGE_NOTE, ... */
/* What a version number owes its readers: "major" if something breaks, "minor" if what fits has changed,
 * "patch" if only notes have, "none". */
const char *schema_bump(const struct schema_diff *diff);

#endif
