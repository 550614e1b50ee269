# shellcheck shell=bash
# The rig's processes: all of them, pods included, live in a control group of its own,
# so that ending them can neither miss one nor hit a stranger.

group=stella-rig

group_roots() { findmnt -rn -t cgroup,cgroup2 -o TARGET; }

# The folder of our group in the one hierarchy by which processes are counted.
tracking_group() {
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    echo "/sys/fs/cgroup/$group"
  else
    echo "/sys/fs/cgroup/pids/$group"
  fi
}

make_groups() {
  local root
  for root in $(group_roots); do
    mkdir -p "$root/$group"
    # Version 2: the kubelet wants these in the group that its pods are below.
    if [[ -e "$root/cgroup.controllers" ]]; then
      pass_controllers_on "$root"
      pass_controllers_on "$root/$group"
    fi
  done
  mkdir -p "$(tracking_group)/daemons"
}

pass_controllers_on() {
  local controller
  for controller in $(<"$1/cgroup.controllers"); do
    echo "+$controller" >"$1/cgroup.subtree_control" 2>/dev/null || true
  done
}

# start NAME COMMAND...: runs it in the background, with a pid file and a log.
start() {
  local name="$1"
  shift
  (
    echo "$BASHPID" >"$(tracking_group)/daemons/cgroup.procs"
    cd "$STELLA_RIG" || exit 1
    exec 9>&- # the lock ends with the script, not with the daemon
    exec setsid "$@" </dev/null >"$STELLA_RIG/log/$name.log" 2>&1
  ) &
  echo $! >"$STELLA_RIG/run/$name.pid"
}

# Whether the process that start NAME made still runs.
alive() {
  local pid
  pid="$(cat "$STELLA_RIG/run/$1.pid" 2>/dev/null)" || return 1
  grep -q ":/$group/" "/proc/$pid/cgroup" 2>/dev/null
}

all_alive() {
  local file
  for file in "$STELLA_RIG"/run/*.pid; do
    [[ -e "$file" ]] && alive "$(basename "$file" .pid)" || return 1
  done
}

group_members() { find "$(tracking_group)" -name cgroup.procs -exec cat {} + 2>/dev/null || true; }

kill_all() {
  local deadline=$((SECONDS + 20)) pids
  while pids="$(group_members)" && [[ -n "$pids" ]]; do
    ((SECONDS < deadline)) || fail "processes that will not end: ${pids//$'\n'/ }"
    # shellcheck disable=SC2086 # a list of numbers
    kill -KILL $pids 2>/dev/null || true
    sleep 0.1
  done
}

remove_groups() {
  local root
  for root in $(group_roots); do
    [[ -d "$root/$group" ]] || continue
    find "$root/$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [[ ! -d "$root/$group" ]] || say "control group left behind: $root/$group"
  done
}
