#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Shell scripts pass shellcheck. 77: no shellcheck or no git here.
command -v shellcheck >/dev/null || exit 77
git rev-parse --git-dir >/dev/null 2>&1 || exit 77
git ls-files -z -- dev .ci/run '*.sh' | xargs -0 shellcheck
