# shellcheck shell=bash
# Every way past the webhook that is known ($STELLA_E2E_BYPASS=1)
if [[ -n "${STELLA_E2E_BYPASS:-}" ]]; then
  grace=0 policy enforce
  eventually 30 "the policy is in force" in_force
  jq -n --arg refused "$workload" --arg passing "$shell_image" --arg digest "$workload_digest" \
    --arg webhook "https://$(kubectl -n stella-system get service stella-webhook -o jsonpath='{.spec.clusterIP}')/validate" '{
      refused: $refused, passing: $passing, repository: ($refused | sub(":[^:/]+$"; "")), refusedDigest: $digest,
      enforcing: {"stella-ops.org/admission": "enforce"}, open: {"stella-ops.org/admission": "audit"},
      everywhere: true, controllers: true, failurePolicyLabel: true, breakGlass: true, webhook: $webhook}' >"$work/target.json"
  check "the bypass suite" python3 "$root/tests/bypass/run.py" --target "$work/target.json" --short
fi
