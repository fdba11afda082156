#!/usr/bin/env bash
# Every file has to parse, and none may have tabs or spaces at the end of a line.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
while IFS= read -r file; do
  node --check "$file" || failed=1
  if grep -nE $'\t|[[:space:]]+$' "$file"; then
    echo "$file: tabs or trailing spaces" >&2
    failed=1
  fi
done < <(find src test -name '*.js' | sort)
exit "$failed"
