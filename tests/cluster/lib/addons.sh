# shellcheck shell=bash
# What a cluster needs to be useful: names (CoreDNS), storage, images.

k() { kubectl --kubeconfig "$kubeconfig" "$@"; }

# Knows the cluster's names, and that there are no others.
start_coredns() {
  cat >"$STELLA_RIG/Corefile" <<COREFILE
$cluster_domain:53 in-addr.arpa:53 ip6.arpa:53 {
  bind $node_ip
  errors
  ready $node_ip:8181
  kubernetes $cluster_domain in-addr.arpa ip6.arpa {
    kubeconfig $pki/coredns.kubeconfig
    pods insecure
    ttl 5
  }
}
.:53 {
  bind $node_ip
  template ANY ANY . {
    rcode NXDOMAIN
  }
}
COREFILE
  start coredns "$STELLA_RIG/bin/coredns" -conf "$STELLA_RIG/Corefile"
}

# The provisioner watches claims and makes a folder and a volume for each.
start_provisioner() { start provisioner "$rig_source/provisioner.sh"; }

apply_addons() {
  sed -e "s/NODE_IP/$node_ip/" -e "s/DNS_SERVICE_IP/$dns_service_ip/" "$rig_source/addons.yaml" |
    k apply --server-side -f - >/dev/null
}

import_pause_image() {
  ctr_of_node images import "$("$repository/scripts/images/pause.sh")" >/dev/null
}

node_ready() { k wait --for=condition=Ready "node/$node_name" --timeout 1s; }

containerd_ready() { ctr_of_node version; }

dns_ready() { [[ "$(curl -s -m 1 "http://$node_ip:8181/ready")" == OK ]]; }

service_account_ready() { k get serviceaccount default --namespace default; }
