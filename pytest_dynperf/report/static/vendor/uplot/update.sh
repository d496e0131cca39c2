#!/usr/bin/env bash
# Renew uPlot from npm: ./update.sh VERSION. Look at the pages afterwards, and run the tests of the report in a browser.
set -euo pipefail
cd "$(dirname "$0")"
version=${1:?which version? See: npm view uplot versions}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# npm checks the archive against the registry's integrity.
npm pack --silent --pack-destination "$work" "uplot@$version" >/dev/null
tar -xzf "$work/uplot-$version.tgz" -C "$work"
cp "$work/package/dist/uPlot.iife.min.js" "$work/package/dist/uPlot.min.css" "$work/package/LICENSE" .
{
  printf 'uplot %s, MIT, from npm: %s\n' "$version" "$(npm view "uplot@$version" dist.integrity)"
  sha256sum LICENSE uPlot.iife.min.js uPlot.min.css
} >VERSION
cat VERSION
