#!/usr/bin/env bash
# freeze.sh: makes today's header and symbols the ABI of version 0 (see README.md). Needs a release build, and abidw.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cp ../../include/fastserve.h v0/fastserve.h
abidw --no-corpus-path --no-comp-dir-path --no-architecture --out-file v0/libfastserve.abi ../../build/release/lib/libfastserve.so.0
