#!/usr/bin/env bash
# After a merge: the run of this commit as a release, signed, committed and pushed. Called by CI; `bash ci/release.sh` does the same on a laptop.
#
#   PAYOFF_SIGNING_KEY   the private key of one of [signing] releasers (without it: git's user.signingkey)
#   PAYOFF_PUSH          where the commit goes, as "origin HEAD:main" (without it: nowhere)
#
# Exit code 0: released, or there is nothing to release; 1: a gate refuses it; 2 and 4: it does not run, or cannot be released.
set -euo pipefail

if ! grep -q '^\[release\]' payoff.toml; then
  echo "payoff.toml has no [release]: nothing is released"
  exit 0
fi
if git rev-parse --quiet --verify HEAD~1 >/dev/null && [ -z "$(git diff --name-only --relative HEAD~1 -- . ':!deploy')" ]; then
  echo "only deploy/ changed: there is nothing new to release"
  exit 0
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
if [ -n "${PAYOFF_SIGNING_KEY:-}" ]; then
  (umask 077 && printf '%s\n' "$PAYOFF_SIGNING_KEY" >"$out/key")
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=user.signingkey GIT_CONFIG_VALUE_0="$out/key"
fi
for who in AUTHOR COMMITTER; do
  export "GIT_${who}_NAME=$(git config user.name || echo payoff)" "GIT_${who}_EMAIL=$(git config user.email || echo payoff@localhost)"
done

if [ -f make_data.py ] && [ ! -e data ]; then uv run --quiet --frozen python make_data.py; fi
rm -f payoff-comment.md
code=0
payoff run --json >"$out/run" || code=$?
if [ "$code" -ne 0 ]; then
  cat "$out/run" >&2
  exit "$code"
fi
payoff release "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["run"])' "$out/run")"
if [ -n "${PAYOFF_PUSH:-}" ]; then
  # shellcheck disable=SC2086 # two words
  git push --quiet $PAYOFF_PUSH
fi
