#!/usr/bin/env bash
# Put the exported notebooks on a branch of their own, where Colab opens them:
# one commit a publication on top of the last, or none if nothing changed.
#
#   publish_notebooks.sh FOLDER BRANCH [REMOTE]
#
# REMOTE is the address of a repository; by default that of `origin`. In a
# workflow, GH_TOKEN with `contents: write` lets gh tell git how to push.
set -euo pipefail

folder=${1:?usage: publish_notebooks.sh FOLDER BRANCH [REMOTE]}
branch=${2:?usage: publish_notebooks.sh FOLDER BRANCH [REMOTE]}
remote=${3:-$(git remote get-url origin)}
commit=$(git rev-parse --short HEAD)

if ! find "$folder" -name '*.ipynb' 2>/dev/null | grep -q .; then
  echo "$folder holds no notebook: run 'make notebooks' first" >&2
  exit 1
fi

if [ -n "${GH_TOKEN:-}" ]; then
  git() { command git -c credential.helper= \
            -c credential.helper='!gh auth git-credential' "$@"; }
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git init -q -b "$branch" "$work"
if git ls-remote --exit-code "$remote" "refs/heads/$branch" > "$work/.git/found"
then
  git -C "$work" fetch -q --depth 1 "$remote" "refs/heads/$branch"
  git -C "$work" reset -q --soft FETCH_HEAD
elif [ $? -ne 2 ]; then      # 2: the remote answers, and has no such branch
  echo "$remote cannot be read" >&2
  exit 1
fi
cp -R "$folder/." "$work"
git -C "$work" add --all
if git -C "$work" diff --cached --quiet; then
  echo "the branch $branch has these notebooks already"
  exit 0
fi
git -C "$work" -c user.name="github-actions[bot]" \
  -c user.email="github-actions[bot]@users.noreply.github.com" \
  commit -q -m "Notebooks of $commit"
git -C "$work" push -q "$remote" "HEAD:refs/heads/$branch"
echo "pushed $(git -C "$work" ls-files '*.ipynb' | wc -l) notebooks to $branch"
