"""Who asks, and what objects say of themselves."""

from suite import REFUSED, Answer, case, section
from target import ORDINARY

section("identity", "Claims", "What the author of a pod says about it or themselves.")


@case("identity", "forged-owner", "a pod that says a DaemonSet of kube-system owns it", REFUSED, "owners play no part in a decision")
def owner(target):
    reference = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "kube-proxy", "uid": "00000000-0000-0000-0000-000000000001", "controller": True}
    return target.create(target.pod(target.refused, {"ownerReferences": [reference]}))


@case("identity", "forged-owner-node", "a pod that says a Node owns it, as static pods do", REFUSED,
      "owners play no part in a decision, and no event is written to a node for it")
def owner_node(target):
    reference = {"apiVersion": "v1", "kind": "Node", "name": "some-node", "uid": "00000000-0000-0000-0000-000000000001", "controller": True}
    return target.create(target.pod(target.refused, {"ownerReferences": [reference]}))


def mirror(target, user=None, **how):
    annotations = {"kubernetes.io/config.mirror": "x", "kubernetes.io/config.source": "file", "kubernetes.io/config.hash": "x"}
    return target.create(target.pod(target.refused, {"annotations": annotations}, nodeName="some-node"), user=user, **how)


@case("identity", "mirror-annotation", "the annotations of a static pod's mirror, set by a user", REFUSED,
      "only the node of the pod itself (`system:node:NAME`, group `system:nodes`) is believed")
def mirror_by_user(target):
    return mirror(target, ORDINARY)


@case("identity", "mirror-annotation-by-admin", "the same by an administrator", REFUSED,
      "only the node of the pod itself (`system:node:NAME`, group `system:nodes`) is believed")
def mirror_by_admin(target):
    return mirror(target)


@case("identity", "break-glass-by-a-user", "`stella-ops.org/break-glass` set by who may not", REFUSED,
      "the API server is asked whether the user may `breakglass` in the namespace", needs=("breakGlass",))
def glass(target):
    annotations = {"stella-ops.org/break-glass": "because"}
    return target.create(target.pod(target.refused, {"annotations": annotations}), user=ORDINARY)


@case("identity", "break-glass-in-a-template", "the annotation in a template, so that a controller makes the pod", REFUSED,
      "the controller's account may not break the glass", needs=("breakGlass",))
def glass_template(target):
    from target import CONTROLLER
    annotations = {"stella-ops.org/break-glass": "because"}
    return target.create(target.pod(target.refused, {"annotations": annotations}), user=CONTROLLER)


@case("identity", "break-glass-without-a-reason", "the annotation empty, by an administrator", REFUSED, "it needs a reason", needs=("breakGlass",))
def glass_empty(target):
    return target.create(target.pod(target.refused, {"annotations": {"stella-ops.org/break-glass": "  "}}))


@case("identity", "break-glass-by-who-may", "the annotation with a reason, by who may", "admitted",
      "that is what it is for: warning, audit annotation, log, metric and alert", needs=("breakGlass",))
def glass_allowed(target):
    return target.create(target.pod(target.refused, {"annotations": {"stella-ops.org/break-glass": "rehearsal"}}))


@case("identity", "exempting-labels-on-the-pod", "labels and annotations on the pod that exempt namespaces, and other products' pods", REFUSED,
      "nothing on an object exempts it; there is no object selector in the registrations")
def labels(target):
    names = {"stella-ops.org/admission": "audit", "stella-ops.org/exempt": "true", "admission.stella-ops.org/ignore": "true",
             "app.kubernetes.io/name": "stella", "kubernetes.io/metadata.name": "kube-system"}
    return target.create(target.pod(target.refused, {"labels": names, "annotations": names}))


@case("identity", "namespace-in-the-object", "an object that names an exempt namespace, sent to another", "rejected",
      "the API server compares them")
def other_namespace(target):
    pod = target.pod(target.refused, {"namespace": "kube-system"})
    path = f"/api/v1/namespaces/{target.namespace}/pods"
    return target.ask("create", "--raw", path, "-f", "-", give=pod)


@case("identity", "as-a-node", "by a node's identity, without the annotations", REFUSED, "who asks plays no part")
def node(target):
    import json
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "node"},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ORDINARY},
               "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:node:bypass"}]}
    target.must("-n", target.namespace, "create", "-f", "-", give=json.dumps(binding))
    answer = target.create(target.pod(target.refused, nodeName="bypass"), user="system:node:bypass", groups=("system:nodes",))
    # NodeRestriction, where it is on, refuses before any webhook is asked.
    restricted = answer.kind == "rejected" and "can only create mirror pods" in answer.text
    return Answer(REFUSED, answer.text) if restricted else answer


@case("identity", "in-the-release-namespace", "a pod in kube-system", "out of reach",
      "kube-system and the product's own namespace are exempt, so that a cluster cannot lock itself out: let nobody else write there")
def exempt(target):
    return target.refuses(namespace="kube-system")
