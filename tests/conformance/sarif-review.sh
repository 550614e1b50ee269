#!/usr/bin/env bash
# A change to lock files in a repository, as reviewdog shows the findings in it: each at the line that declares the package, those of
# lines that the change touches by default; what the policy ignores is suppressed.
#   BIN   folder with the product's programs (default: target/debug)
set -euo pipefail
repository="$(cd "$(dirname "$0")/../.." && pwd)"
: "${BIN:=$repository/target/debug}"
cache="${STELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stella}"
export PATH="$cache/bin:$PATH"
command -v reviewdog >/dev/null || { echo "sarif-review.sh: no reviewdog; scripts/install/go-tools.sh reviewdog" >&2; exit 2; }
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/checks.sh
source "$repository/tests/checks.sh"

# Nobody's own settings of git.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git() { command git -c user.name=a -c user.email=a@example.org -c commit.gpgsign=false "$@"; }

checkout="$work/checkout"
mkdir -p "$checkout/backend"
cd "$checkout"
git init -q .
cat >requirements.txt <<'TXT'
# What the service needs.
idna==3.4
harmless==1.0
TXT
poetry_lock() { # NAME VERSION...
  printf '[[package]]\nname = "%s"\nversion = "%s"\n\n' "$@"
  printf '[metadata]\nlock-version = "2.0"\n'
}
poetry_lock harmless 1.0 >backend/poetry.lock
git add .
git commit -qm "Before"
cat >>requirements.txt <<'TXT'
another==2.0
aiohttp==3.8.5
TXT
poetry_lock django 3.2.10 harmless 1.0 >backend/poetry.lock

scan() { # SARIF TARGET FLAG...
  local log="$1" target="$2"
  shift 2
  "$BIN/stella" --local --feeds "$repository/tests/fixtures/feeds" --cache-dir "$work/index" --format sarif "$@" "$target" \
    >"$log" 2>"$work/said" || (($? == 1)) || { cat "$work/said" >&2; return 2; }
}
scan "$work/all.sarif" .

# `FILE:LINE: MESSAGE` of every result of a log, as it should be shown: by the lines that the files really have.
expected() { # SARIF
  jq -r '.runs[].results[] | select(.suppressions | not)
      | [.locations[0].physicalLocation.artifactLocation.uri, (.message.text | split(" ")[0]), .message.text] | @tsv' "$1" |
    while IFS=$'\t' read -r file name message; do
      line="$(grep -n -m1 -w -- "$name" "$file" | cut -d: -f1)"
      echo "$file:${line:?}: $message"
    done | sort
}

# What reviewdog makes of a log, in the same form. Its reporter `local` repeats the results as they are; `rdjsonl` tells what it understood.
shown() { # SARIF MODE [DIFF]
  reviewdog -f=sarif -name=stella -reporter=rdjsonl -filter-mode="$2" -diff="${3:-git diff HEAD}" <"$1" 2>"$work/reviewdog" |
    jq -r '"\(.location.path):\(.location.range.start.line): \(.message)"' | sort
}

same() { # WHAT SHOULD BE, WHAT IS
  [[ -n "$1" ]] && diff <(echo "$1") <(echo "$2")
}

everything="$(expected "$work/all.sarif")"
changed="$(grep -v ' idna ' <<<"$everything")"

three_packages() {
  for place in requirements.txt:2 requirements.txt:5 backend/poetry.lock:2; do
    grep -q "^$place: " <<<"$everything" || { echo "nothing at $place in"; echo "$everything"; return 1; }
  done
}
check "there are findings of three packages in two files" three_packages
check "every finding is shown, with file and line" same "$everything" "$(shown "$work/all.sarif" nofilter)"
check "those of changed files, whichever line" same "$everything" "$(shown "$work/all.sarif" file)"
check "those of changed lines alone, which is what reviews ask for" same "$changed" "$(shown "$work/all.sarif" added)"
check "those around changed lines" same "$everything" "$(shown "$work/all.sarif" diff_context)"

as_a_person_sees_it() {
  local printed
  printed="$(reviewdog -f=sarif -reporter=local -filter-mode=added -diff="git diff HEAD" <"$work/all.sarif" | jq -r .message.text | sort)"
  same "$(cut -d' ' -f2- <<<"$changed" | sort)" "$printed"
}
check "the reporter for terminals shows the same" as_a_person_sees_it

only_backend() {
  local found
  found="$(shown "$work/all.sarif" added "git diff HEAD -- backend")"
  same "$(grep '^backend/' <<<"$everything")" "$found"
}
check "a change of one file shows the findings of that" only_backend

# The folder of a part of the checkout: places are still those of the checkout.
scan_of_a_part() {
  scan "$work/part.sarif" backend
  same "$(grep '^backend/' <<<"$everything")" "$(shown "$work/part.sarif" added)"
}
check "a part of the checkout that is scanned alone has places in the checkout" scan_of_a_part

all_are_suppressed() {
  scan "$work/quiet.sarif" . --policy-file "$repository/tests/conformance/ignore-everything.yaml"
  # reviewdog leaves suppressed results out from 0.21.1 on; parts of those versions are not to be had.
  jq -e '.runs[0].results | length > 0 and all(.suppressions | length == 1 and .[0].kind == "external")' "$work/quiet.sarif" >/dev/null
}
check "what the policy ignores is suppressed" all_are_suppressed
exit "$failed"
