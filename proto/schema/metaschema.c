/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/metaschema.c: the drafts' schemas of schemas, by the URIs that schemas refer to them with.
 * They say what the specification's tables say, without its titles and defaults.
 */
#include "proto/schema/compile_own.h"

#define DRAFT_20 "https://json-schema.org/draft/2020-12/"
#define HEAD_20(name, vocabulary)                                                                            \
    "{\"$schema\":\"" DRAFT_20 "schema\",\"$id\":\"" DRAFT_20 "meta/" name "\",\"$vocabulary\":{\"" DRAFT_20 \
    "vocab/" vocabulary "\":true},\"$dynamicAnchor\":\"meta\",\"type\":[\"object\",\"boolean\"],"
#define SELF    "{\"$dynamicRef\":\"#meta\"}"
#define NAMED   "{\"type\":\"object\",\"additionalProperties\":" SELF "}"
#define STRINGS "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"uniqueItems\":true}"
#define COUNT   "{\"type\":\"integer\",\"minimum\":0}"
static const char draft_07[] =
    "{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"$id\":\"http://json-schema.org/draft-07/"
    "schema#\","
    "\"definitions\":{\"schemaArray\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#\"}},"
    "\"nonNegativeInteger\":" COUNT ","
    "\"nonNegativeIntegerDefault0\":{\"allOf\":[{\"$ref\":\"#/definitions/"
    "nonNegativeInteger\"},{\"default\":0}]},"
    "\"simpleTypes\":{\"enum\":[\"array\",\"boolean\",\"integer\",\"null\",\"number\",\"object\",\"string\"]}"
    ","
    "\"stringArray\":" STRINGS "},"
    "\"type\":[\"object\",\"boolean\"],\"properties\":{"
    "\"$id\":{\"type\":\"string\",\"format\":\"uri-reference\"},\"$schema\":{\"type\":\"string\",\"format\":"
    "\"uri\"},"
    "\"$ref\":{\"type\":\"string\",\"format\":\"uri-reference\"},\"$comment\":{\"type\":\"string\"},"
    "\"title\":{\"type\":\"string\"},\"description\":{\"type\":\"string\"},\"default\":true,"
    "\"readOnly\":{\"type\":\"boolean\"},\"writeOnly\":{\"type\":\"boolean\"},\"examples\":{\"type\":"
    "\"array\"},"
    "\"multipleOf\":{\"type\":\"number\",\"exclusiveMinimum\":0},\"maximum\":{\"type\":\"number\"},"
    "\"exclusiveMaximum\":{\"type\":\"number\"},\"minimum\":{\"type\":\"number\"},"
    "\"exclusiveMinimum\":{\"type\":\"number\"},\"maxLength\":{\"$ref\":\"#/definitions/"
    "nonNegativeInteger\"},"
    "\"minLength\":{\"$ref\":\"#/definitions/nonNegativeIntegerDefault0\"},"
    "\"pattern\":{\"type\":\"string\",\"format\":\"regex\"},\"additionalItems\":{\"$ref\":\"#\"},"
    "\"items\":{\"anyOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#/definitions/schemaArray\"}]},"
    "\"maxItems\":{\"$ref\":\"#/definitions/nonNegativeInteger\"},"
    "\"minItems\":{\"$ref\":\"#/definitions/"
    "nonNegativeIntegerDefault0\"},\"uniqueItems\":{\"type\":\"boolean\"},"
    "\"contains\":{\"$ref\":\"#\"},\"maxProperties\":{\"$ref\":\"#/definitions/nonNegativeInteger\"},"
    "\"minProperties\":{\"$ref\":\"#/definitions/nonNegativeIntegerDefault0\"},"
    "\"required\":{\"$ref\":\"#/definitions/stringArray\"},\"additionalProperties\":{\"$ref\":\"#\"},"
    "\"definitions\":{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#\"}},"
    "\"properties\":{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#\"}},"
    "\"patternProperties\":{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#\"},"
    "\"propertyNames\":{\"format\":\"regex\"}},"
    "\"dependencies\":{\"type\":\"object\",\"additionalProperties\":"
    "{\"anyOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#/definitions/stringArray\"}]}},"
    "\"propertyNames\":{\"$ref\":\"#\"},\"const\":true,\"enum\":{\"type\":\"array\",\"items\":true},"
    "\"type\":{\"anyOf\":[{\"$ref\":\"#/definitions/simpleTypes\"},{\"type\":\"array\","
    "\"items\":{\"$ref\":\"#/definitions/simpleTypes\"},\"minItems\":1,\"uniqueItems\":true}]},"
    "\"format\":{\"type\":\"string\"},\"contentMediaType\":{\"type\":\"string\"},"
    "\"contentEncoding\":{\"type\":\"string\"},\"if\":{\"$ref\":\"#\"},\"then\":{\"$ref\":\"#\"},"
    "\"else\":{\"$ref\":\"#\"},\"allOf\":{\"$ref\":\"#/definitions/schemaArray\"},"
    "\"anyOf\":{\"$ref\":\"#/definitions/schemaArray\"},\"oneOf\":{\"$ref\":\"#/definitions/schemaArray\"},"
    "\"not\":{\"$ref\":\"#\"}}}";

static const char draft_2020[] =
    "{\"$schema\":\"" DRAFT_20 "schema\",\"$id\":\"" DRAFT_20 "schema\",\"$vocabulary\":{"
    "\"" DRAFT_20 "vocab/core\":true,\"" DRAFT_20 "vocab/applicator\":true,"
    "\"" DRAFT_20 "vocab/unevaluated\":true,\"" DRAFT_20 "vocab/validation\":true,"
    "\"" DRAFT_20 "vocab/meta-data\":true,\"" DRAFT_20 "vocab/format-annotation\":true,"
    "\"" DRAFT_20 "vocab/content\":true},\"$dynamicAnchor\":\"meta\",\"allOf\":[{\"$ref\":\"meta/core\"},"
    "{\"$ref\":\"meta/applicator\"},{\"$ref\":\"meta/unevaluated\"},{\"$ref\":\"meta/validation\"},"
    "{\"$ref\":\"meta/meta-data\"},{\"$ref\":\"meta/format-annotation\"},{\"$ref\":\"meta/content\"}],"
    "\"type\":[\"object\",\"boolean\"],\"properties\":{\"definitions\":" NAMED ","
    "\"dependencies\":{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[" SELF "," STRINGS "]}}}}";

static const char meta_core[] = HEAD_20(
    "core",
    "core") "\"properties\":{\"$id\":{\"$ref\":\"#/$defs/uriReferenceString\",\"pattern\":\"^[^#]*#?$\"},"
            "\"$schema\":{\"type\":\"string\",\"format\":\"uri\"},\"$ref\":{\"$ref\":\"#/$defs/"
            "uriReferenceString\"},"
            "\"$anchor\":{\"$ref\":\"#/$defs/anchorString\"},\"$dynamicRef\":{\"$ref\":\"#/$defs/"
            "uriReferenceString\"},"
            "\"$dynamicAnchor\":{\"$ref\":\"#/$defs/anchorString\"},\"$vocabulary\":{\"type\":\"object\","
            "\"propertyNames\":{\"type\":\"string\",\"format\":\"uri\"},\"additionalProperties\":{\"type\":"
            "\"boolean\"}},"
            "\"$comment\":{\"type\":\"string\"},\"$defs\":" NAMED "},"
            "\"$defs\":{\"anchorString\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z_][-A-Za-z0-9._]*$\"},"
            "\"uriReferenceString\":{\"type\":\"string\",\"format\":\"uri-reference\"}}}";

static const char meta_applicator[] =
    HEAD_20("applicator",
            "applicator") "\"properties\":{\"prefixItems\":{\"$ref\":\"#/$defs/schemaArray\"},\"items\":" SELF
                          ",\"contains\":" SELF ","
                          "\"additionalProperties\":" SELF ",\"properties\":" NAMED ","
                          "\"patternProperties\":{\"type\":\"object\",\"additionalProperties\":" SELF ","
                          "\"propertyNames\":{\"format\":\"regex\"}},\"dependentSchemas\":" NAMED
                          ",\"propertyNames\":" SELF ","
                          "\"if\":" SELF ",\"then\":" SELF ",\"else\":" SELF
                          ",\"allOf\":{\"$ref\":\"#/$defs/schemaArray\"},"
                          "\"anyOf\":{\"$ref\":\"#/$defs/schemaArray\"},\"oneOf\":{\"$ref\":\"#/$defs/"
                          "schemaArray\"},\"not\":" SELF "},"
                          "\"$defs\":{\"schemaArray\":{\"type\":\"array\",\"minItems\":1,\"items\":" SELF
                          "}}}";

static const char meta_unevaluated[] =
    HEAD_20("unevaluated", "unevaluated") "\"properties\":{\"unevaluatedItems\":" SELF
                                          ",\"unevaluatedProperties\":" SELF "}}";

static const char meta_validation[] =
    HEAD_20("validation",
            "validation") "\"properties\":{\"type\":{\"anyOf\":[{\"$ref\":\"#/$defs/"
                          "simpleTypes\"},{\"type\":\"array\","
                          "\"items\":{\"$ref\":\"#/$defs/"
                          "simpleTypes\"},\"minItems\":1,\"uniqueItems\":true}]},\"const\":true,"
                          "\"enum\":{\"type\":\"array\",\"items\":true},\"multipleOf\":{\"type\":\"number\","
                          "\"exclusiveMinimum\":0},"
                          "\"maximum\":{\"type\":\"number\"},\"exclusiveMaximum\":{\"type\":\"number\"},"
                          "\"minimum\":{\"type\":\"number\"},"
                          "\"exclusiveMinimum\":{\"type\":\"number\"},\"maxLength\":" COUNT
                          ",\"minLength\":" COUNT ","
                          "\"pattern\":{\"type\":\"string\",\"format\":\"regex\"},\"maxItems\":" COUNT
                          ",\"minItems\":" COUNT ","
                          "\"uniqueItems\":{\"type\":\"boolean\"},\"maxContains\":" COUNT
                          ",\"minContains\":" COUNT ","
                          "\"maxProperties\":" COUNT ",\"minProperties\":" COUNT ",\"required\":" STRINGS ","
                          "\"dependentRequired\":{\"type\":\"object\",\"additionalProperties\":" STRINGS "}},"
                          "\"$defs\":{\"simpleTypes\":{\"enum\":[\"array\",\"boolean\",\"integer\",\"null\","
                          "\"number\",\"object\","
                          "\"string\"]},\"nonNegativeInteger\":" COUNT ",\"stringArray\":" STRINGS "}}";

static const char meta_data[] =
    HEAD_20("meta-data", "meta-data") "\"properties\":{\"title\":{\"type\":\"string\"},\"description\":{"
                                      "\"type\":\"string\"},\"default\":true,"
                                      "\"deprecated\":{\"type\":\"boolean\"},\"readOnly\":{\"type\":"
                                      "\"boolean\"},\"writeOnly\":{\"type\":\"boolean\"},"
                                      "\"examples\":{\"type\":\"array\",\"items\":true}}}";

static const char meta_format[] =
    HEAD_20("format-annotation", "format-annotation") "\"properties\":{\"format\":{\"type\":\"string\"}}}";

static const char meta_content[] =
    HEAD_20("content", "content") "\"properties\":{\"contentEncoding\":{\"type\":\"string\"},"
                                  "\"contentMediaType\":{\"type\":\"string\"},"
                                  "\"contentSchema\":" SELF "}}";

struct bytes metaschema_find(struct bytes uri)
{
    static const struct {
        const char *uri, *text;
    } rows[] = {
        { "http://json-schema.org/draft-07/schema", draft_07 },
        { DRAFT_20 "schema", draft_2020 },
        { DRAFT_20 "meta/core", meta_core },
        { DRAFT_20 "meta/applicator", meta_applicator },
        { DRAFT_20 "meta/unevaluated", meta_unevaluated },
        { DRAFT_20 "meta/validation", meta_validation },
        { DRAFT_20 "meta/meta-data", meta_data },
        { DRAFT_20 "meta/format-annotation", meta_format },
        { DRAFT_20 "meta/content", meta_content },
    };
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (bytes_same(uri, bytes_of(rows[i].uri)))
            return bytes_of(rows[i].text);
    return (struct bytes){ 0 };
}
