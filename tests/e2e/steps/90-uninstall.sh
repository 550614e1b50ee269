# shellcheck shell=bash
# 9: nothing stays but what was asked to stay
kubectl -n stella-system scale deployment stella-operator --replicas=0 >/dev/null
check "deleting a namespace with our objects while the operator is gone does not hang" kubectl delete namespace shop --timeout=60s
check "helm uninstalls it" helm uninstall stella -n stella-system --wait --timeout 2m
left() {
  local found
  found="$(kubectl get clusterroles,clusterrolebindings,validatingwebhookconfigurations,mutatingwebhookconfigurations -o name | grep stella || true)"
  found+="$(kubectl -n stella-system get all,secrets,configmaps,leases,pvc,serviceaccounts,roles,rolebindings,networkpolicies -o name |
    grep -vE 'serviceaccount/default|configmap/kube-root-ca.crt' || true)"
  [[ -z "$found" ]] || { echo "$found"; return 1; }
}
eventually 30 "nothing of it is left in the cluster" left
check "but the definitions, as asked" kubectl get crd scanjobs.stella-ops.org
kubectl delete namespace other stella-policies stella-system --wait=false >/dev/null
kubectl delete crd scanjobs.stella-ops.org policies.stella-ops.org exportprofiles.stella-ops.org >/dev/null
