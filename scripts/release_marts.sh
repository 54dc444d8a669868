#!/usr/bin/env bash
# Keeps what scripts/publish.py writes in the release `marts`: an archive for each dataset, and one for all else.
#
#   scripts/release_marts.sh download FOLDER    empty, when nothing was published yet
#   scripts/release_marts.sh upload FOLDER
#
# It needs GitHub's `gh`, with GH_TOKEN and GH_REPO.
set -euo pipefail
folder=$2
mkdir -p "$folder"

case $1 in
download)
    gh release view marts > /dev/null 2>&1 || exit 0
    gh release download marts --pattern '*.tar' --dir "$folder"
    for archive in "$folder"/*.tar; do
        tar -xf "$archive" -C "$folder"
        rm -- "$archive"
    done
    ;;
upload)
    [ -e "$folder/datapackage.json" ] || exit 0
    gh release view marts > /dev/null 2>&1 ||
        gh release create marts --title 'Marts' --notes 'The newest marts: see datapackage.json.' --latest=false
    cd "$folder"
    for dataset in file_ledger/*; do
        tar -cf "${dataset#*/}.tar" -- */"${dataset#*/}"
    done
    tar -cf others.tar -- *.parquet README.md datapackage.json reports schemas
    gh release upload marts --clobber -- *.tar datapackage.json
    rm -- *.tar
    ;;
*)
    echo "unknown: $1; say download or upload" >&2
    exit 2
    ;;
esac
