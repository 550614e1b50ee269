# shellcheck shell=bash
# Processes in the background: started, waited for, and ended by their number.

declare -A running=()

# start NAME COMMAND...: its output goes to NAME.log.
start() {
  local name="$1"
  shift
  "$@" >"$work/$name.log" 2>&1 </dev/null &
  running[$name]=$!
}

# end NAME: asks politely, then not.
end() {
  local pid="${running[$1]:-}" tenths
  [[ -n "$pid" ]] || return 0
  unset "running[$1]"
  kill "$pid" 2>/dev/null || true
  for ((tenths = 0; tenths < 100; tenths++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what="$2" name
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || stop "waited too long for $what"
    for name in "${!running[@]}"; do
      kill -0 "${running[$name]}" 2>/dev/null || stop "$name ended while waiting for $what"
    done
    sleep 0.2
  done
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Whether a port of this machine answers.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
