#!/usr/bin/env bash
# Attach the files of a folder to the release of a tag, which is made if there
# is none. Needs gh, and GH_TOKEN with `contents: write`.
#
#   publish_release.sh FOLDER TAG
set -euo pipefail

folder=${1:?usage: publish_release.sh FOLDER TAG}
tag=${2:?usage: publish_release.sh FOLDER TAG}

for name in qe-with-jax.pdf notebooks.zip site.zip; do
  test -s "$folder/$name" || {
    echo "$folder/$name is missing: run 'make release' first" >&2; exit 1; }
done

if ! gh release view "$tag" > /dev/null 2>&1; then
  gh release create "$tag" --verify-tag --title "$tag" \
    --notes "The book as a PDF, its notebooks, and the site to read offline."
fi
gh release upload "$tag" --clobber \
  "$folder/qe-with-jax.pdf" "$folder/notebooks.zip" "$folder/site.zip"
