#!/usr/bin/env bash
# Puts what is shipped into dist/, with its version stamped in.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf dist
mkdir -p dist/src
cp src/*.js dist/src/
cp package.json README.md dist/
node -p 'require("./package.json").version' > dist/VERSION
echo "built tally $(cat dist/VERSION): $(find dist -type f | wc -l | tr -d ' ') files"
