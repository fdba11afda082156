#!/usr/bin/env bash
# Packs dist/ with a manifest of its files and says what came out, also to $MILLRACE_OUTPUT where a workflow runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(cat dist/VERSION)
artifact="tally-$version.tar.gz"
rm -f dist/MANIFEST
(cd dist && find . -type f ! -name MANIFEST | LC_ALL=C sort | xargs sha256sum) > MANIFEST.new
mv MANIFEST.new dist/MANIFEST
tar -czf "$artifact" -C dist .
sha256=$(sha256sum "$artifact" | cut -d ' ' -f 1)
bytes=$(wc -c < "$artifact" | tr -d ' ')
files=$(wc -l < dist/MANIFEST | tr -d ' ')
echo "packed $artifact, $bytes bytes, sha256 $sha256"
if [ -n "${MILLRACE_OUTPUT:-}" ]; then
  printf '{"artifact":"%s","version":"%s","sha256":"%s","bytes":%d,"files":%d}\n' \
    "$artifact" "$version" "$sha256" "$bytes" "$files" > "$MILLRACE_OUTPUT"
fi
