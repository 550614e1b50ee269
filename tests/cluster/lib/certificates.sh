# shellcheck shell=bash
# The cluster's certificate authorities, certificates and kubeconfig files.

make_certificates() {
  mkdir -m 700 "$pki"
  make_authority ca kubernetes
  make_authority front-proxy-ca front-proxy

  local names="DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  names+=",DNS:kubernetes.default.svc.$cluster_domain,IP:127.0.0.1,IP:$node_ip,IP:$api_service_ip"
  make_certificate ca apiserver "/CN=kube-apiserver" "$names"
  make_certificate ca kubelet-server "/CN=$node_name" "DNS:$node_name,IP:$node_ip"
  make_certificate ca apiserver-kubelet-client "/O=system:masters/CN=kube-apiserver-kubelet-client"
  make_certificate front-proxy-ca front-proxy-client "/CN=front-proxy-client"
  make_key "$pki/service-account.key"

  make_certificate ca admin "/O=system:masters/CN=admin"
  make_certificate ca controller-manager "/CN=system:kube-controller-manager"
  make_certificate ca scheduler "/CN=system:kube-scheduler"
  make_certificate ca kube-proxy "/CN=system:kube-proxy"
  make_certificate ca coredns "/CN=system:coredns"
  make_certificate ca kubelet "/O=system:nodes/CN=system:node:$node_name"
  local user
  for user in controller-manager scheduler kube-proxy coredns kubelet; do
    make_kubeconfig "$user" >"$pki/$user.kubeconfig"
  done
  (umask 077 && make_kubeconfig admin >"$kubeconfig")
}

make_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# make_authority FILE NAME
make_authority() {
  make_key "$pki/$1.key"
  openssl req -x509 -new -key "$pki/$1.key" -subj "/CN=$2" -days 30 -sha256 -out "$pki/$1.crt" \
    -addext keyUsage=critical,digitalSignature,keyCertSign 2>/dev/null
}

# make_certificate AUTHORITY FILE SUBJECT [ALTERNATIVE-NAMES]
make_certificate() {
  local extensions="keyUsage=critical,digitalSignature"$'\n'"extendedKeyUsage=serverAuth,clientAuth"
  [[ -z "${4:-}" ]] || extensions+=$'\n'"subjectAltName=$4"
  make_key "$pki/$2.key"
  openssl req -new -key "$pki/$2.key" -subj "$3" -out "$pki/$2.csr"
  openssl x509 -req -in "$pki/$2.csr" -CA "$pki/$1.crt" -CAkey "$pki/$1.key" -CAcreateserial \
    -days 30 -sha256 -extfile <(echo "$extensions") -out "$pki/$2.crt" 2>/dev/null
  rm "$pki/$2.csr"
}

make_kubeconfig() {
  cat <<YAML
apiVersion: v1
kind: Config
current-context: stella-rig
clusters:
- name: stella-rig
  cluster:
    server: $api_url
    certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")
contexts:
- name: stella-rig
  context: {cluster: stella-rig, user: $1}
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 <"$pki/$1.crt")
    client-key-data: $(base64 -w0 <"$pki/$1.key")
YAML
}
