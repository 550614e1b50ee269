# shellcheck shell=bash
# etcd, API server, controller manager and scheduler.

start_etcd() {
  start etcd "$STELLA_RIG/bin/etcd" \
    --name rig --data-dir "$STELLA_RIG/etcd" --log-level warn --unsafe-no-fsync \
    --listen-client-urls "http://127.0.0.1:$etcd_port" \
    --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$etcd_peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peer_port" \
    --initial-cluster "rig=http://127.0.0.1:$etcd_peer_port"
}

start_api_server() {
  local issuer="https://kubernetes.default.svc.$cluster_domain"
  start kube-apiserver "$STELLA_RIG/bin/kube-apiserver" \
    --etcd-servers "http://127.0.0.1:$etcd_port" \
    --bind-address "$node_ip" --advertise-address "$node_ip" --secure-port 6443 \
    --service-cluster-ip-range "$service_range" \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --client-ca-file "$pki/ca.crt" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --allow-privileged=true --anonymous-auth=true \
    --service-account-issuer "$issuer" --api-audiences "$issuer" \
    --service-account-key-file "$pki/service-account.key" \
    --service-account-signing-key-file "$pki/service-account.key" \
    --kubelet-certificate-authority "$pki/ca.crt" \
    --kubelet-client-certificate "$pki/apiserver-kubelet-client.crt" \
    --kubelet-client-key "$pki/apiserver-kubelet-client.key" \
    --kubelet-preferred-address-types InternalIP \
    --requestheader-client-ca-file "$pki/front-proxy-ca.crt" \
    --requestheader-allowed-names front-proxy-client \
    --requestheader-username-headers X-Remote-User \
    --requestheader-group-headers X-Remote-Group \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --proxy-client-cert-file "$pki/front-proxy-client.crt" \
    --proxy-client-key-file "$pki/front-proxy-client.key" \
    --enable-aggregator-routing=true \
    --profiling=false
}

start_controller_manager() {
  start kube-controller-manager "$STELLA_RIG/bin/kube-controller-manager" \
    --kubeconfig "$pki/controller-manager.kubeconfig" \
    --bind-address "$node_ip" --leader-elect=false --profiling=false \
    --use-service-account-credentials=true \
    --root-ca-file "$pki/ca.crt" \
    --service-account-private-key-file "$pki/service-account.key" \
    --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
    --allocate-node-cidrs=true --cluster-cidr "$pod_range" --pvclaimbinder-sync-period 2s
}

start_scheduler() {
  start kube-scheduler "$STELLA_RIG/bin/kube-scheduler" \
    --kubeconfig "$pki/scheduler.kubeconfig" \
    --bind-address "$node_ip" --leader-elect=false --profiling=false
}

api_ready() { kubectl --kubeconfig "$kubeconfig" --request-timeout 2s get --raw /readyz; }
