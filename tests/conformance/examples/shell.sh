# shellcheck shell=bash
# Programs as the examples call them. What curl asked for goes to standard error, and a status that is none of 2xx ends the
# script; with -i, which shows a refusal, one that is none of 4xx.
curl() {
  local option
  echo "curl: ${*: -1}" >&2
  for option in "$@"; do
    if [[ $option == -i ]]; then
      command curl -sS -m 60 "$@" | tee /dev/stderr | grep '^HTTP/1.1 4' >/dev/null
      return
    fi
  done
  command curl -sS -m 60 --fail-with-body "$@"
}

stellopsctl() {
  command stellopsctl --server "$STELLA_SERVER" "$@"
}
