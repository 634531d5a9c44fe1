#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every C file looks as clang-format makes it; `./dev format` repairs. 77: no clang-format or no git here.
command -v clang-format-14 >/dev/null || exit 77
git rev-parse --git-dir >/dev/null 2>&1 || exit 77
git ls-files -z -- '*.c' '*.h' | xargs -0 clang-format-14 --dry-run --Werror
