# shellcheck shell=bash
# The node: kubelet and kube-proxy.

start_kubelet() {
  cat >"$STELLA_RIG/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_ip
healthzBindAddress: $node_ip
tlsCertFile: $pki/kubelet-server.crt
tlsPrivateKeyFile: $pki/kubelet-server.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
clusterDNS: [$dns_service_ip]
clusterDomain: $cluster_domain
resolvConf: ""
containerRuntimeEndpoint: unix://$containerd_socket
podLogsDir: $STELLA_RIG/log/pods
volumePluginDir: $STELLA_RIG/kubelet-plugins
cgroupDriver: cgroupfs
cgroupRoot: /$group
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
serializeImagePulls: false
registryPullQPS: 0
eventRecordQPS: 0
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
# Tests run on full disks too, and must not lose images that have no registry.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
YAML
  start kubelet "$STELLA_RIG/bin/kubelet" \
    --config "$STELLA_RIG/kubelet.yaml" --kubeconfig "$pki/kubelet.kubeconfig" \
    --root-dir "$STELLA_RIG/kubelet" \
    --hostname-override "$node_name" --node-ip "$node_ip" \
    --node-labels stella-ops.org/rig=true
}

start_kube_proxy() {
  cat >"$STELLA_RIG/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: $node_ip
healthzBindAddress: $node_ip:10256
metricsBindAddress: $node_ip:10249
clientConnection: {kubeconfig: $pki/kube-proxy.kubeconfig}
hostnameOverride: $node_name
mode: nftables
clusterCIDR: $pod_range
nftables: {minSyncPeriod: 100ms}
conntrack: {maxPerCore: 0}
YAML
  start kube-proxy "$STELLA_RIG/bin/kube-proxy" --config "$STELLA_RIG/kube-proxy.yaml"
}
