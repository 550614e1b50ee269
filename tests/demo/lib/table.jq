# The findings of `stellopsctl findings --json` as rows with tabs: worst first, in use before the rest.
# Findings of one package that nobody rated share a row.

def in_use: {reachable: "yes", unreachable: "no"}[.reachability.status] // "unknown";

# The innermost two names of a path, without the platform, say which library it is.
def library: split("/") | .[-2:] | join("/") | sub("\\.cpython-[0-9a-z_-]+\\.so$"; ".so");

def evidence:
  if .reachability.status == "reachable" then
    .reachability.evidence
    | (.[0] | (if .pod == "" then "loads " else "\(.pod) loads " end) + (.path | library))
      + (if length > 1 then " +\(length - 1)" else "" end)
  elif .reachability.status == "unreachable" then "watched from its start: never loaded"
  else .reachability.reason
  end;

def row: [
  .coordinates.advisoryId + (if .kev then " (exploited)" else "" end),
  (.severity[:1] | ascii_upcase) + .severity[1:],
  (.coordinates.package | sub("^pkg:[a-z]+/"; "")),
  .fixedIn[-1] // "-",
  in_use,
  evidence,
  .verdict.status
];

def rank: .severity as $level | ["critical", "high", "medium", "low", "info", "none", "unknown"] | index($level);

def order: {reachable: 0, unreachable: 1}[.reachability.status] // 2;

def kind: if .severity == "unknown" then [.coordinates.package, .kev, .verdict.status] else .findingId end;

["FINDING", "SEVERITY", "PACKAGE", "FIXED IN", "IN USE?", "EVIDENCE", "VERDICT"],
( to_entries
  | map(.value + {place: .key})
  | group_by(kind)
  | map(.[0] + {more: (length - 1)})
  | sort_by([rank, order, .place])
  | .[]
  | .more as $more
  | row
  | if $more > 0 then .[0] += " and \($more) more" | .[3] = "several" else . end )
| @tsv
