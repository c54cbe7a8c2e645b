#!/usr/bin/env bash
# What a change does to the money and to the data, before it is merged. Called by CI; `bash ci/payoff.sh origin/main` says the same on a laptop.
#
#   bash ci/payoff.sh [BASE]     BASE: the commit that the change is held against (none: only check and run)
#
# Writes payoff-comment.md. Exit code 0: it may be merged; 1: it loses money beyond doubt, or a gate refuses it;
# 2 and 4: `payoff check` refuses it (a label, a contract, a key), or it does not run.
set -euo pipefail

base=${1:-}
comment=payoff-comment.md
here=$(git rev-parse HEAD)
was=$(git symbolic-ref --quiet --short HEAD || echo "$here")

if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
  echo "ci/payoff.sh: there are changes that are not committed; commit or stash them first" >&2
  exit 2
fi

say() { # the comment of a change that did not get to its money: a title, and the file with what was said
  {
    printf '<!-- payoff -->\n\n## ✗ Payoff: %s\n\n' "$1"
    sed -e '/^In plain words/,$d' -e 's/^/    /' "$2"
  } >"$comment"
  cat "$2" >&2
}

data() { # what `payoff init` made, and git does not keep
  if [ -f make_data.py ] && [ ! -e data ]; then uv run --quiet --frozen python make_data.py; fi
}

run() { # `payoff run`; its answer in $1; what it printed about its progress in $1.log
  local code=0
  data
  payoff run --json >"$1" 2>"$1.log" || code=$?
  return "$code"
}

id() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["run"])' "$1"; }

out=$(mktemp -d)
trap 'rm -rf "$out"; git switch --quiet "$was" 2>/dev/null || git switch --quiet --detach "$here"' EXIT
rm -f "$comment"

# 1. Everything that can be known without running a step: charter, contracts, and labels: where a column may not go.
code=0
payoff check ${base:+--against "$base"} >"$out/check" 2>&1 || code=$?
if [ "$code" -ne 0 ]; then
  say "payoff check refuses this change" "$out/check"
  exit "$code"
fi

# 2. The base, so that there is something to hold the change against. What was computed before is not computed again.
before=""
if [ -n "$base" ] && git cat-file -e "$base:payoff.toml" 2>/dev/null; then
  git switch --quiet --detach "$base"
  code=0
  run "$out/before" || code=$?
  git switch --quiet --detach "$here"
  if [ "$code" -le 1 ]; then before=$(id "$out/before"); else echo "the base could not be run: there is nothing to compare with" >&2; fi
fi

# 3. The change itself. 1 is a refusal with a record; more is no record at all, or a step that failed.
code=0
run "$out/after" || code=$?
cat "$out/after.log" >&2
if [ "$code" -gt 1 ]; then
  say "this change does not run" "$out/after.log"
  exit "$code"
fi

# 4. The money, as a comment.
loss=0
if [ -n "$before" ]; then
  payoff diff "$before" "$(id "$out/after")" --markdown --refuse-loss >"$comment" || loss=$?
  cat "$comment"
fi
[ "$code" -eq 0 ] || exit "$code"
exit "$loss"
