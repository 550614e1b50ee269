"""Tricks with namespaces."""

import time

from suite import REFUSED, case, section
from target import ORDINARY

section("namespaces", "Namespaces", "How a namespace is made, named and labelled.")


@case("namespaces", "pod-at-once", "a pod in the first moment of a new namespace", REFUSED,
      "a namespace nobody has told of yet is judged by what holds for the whole tenant, as strictly as any namespace may be",
      needs=("everywhere",))
def at_once(target):
    # Three times: it is a race that an attacker would repeat.
    for _ in range(3):
        name = target.new_namespace(labels=target.told.get("enforcing", {}))
        answer = target.create(target.pod(target.refused, {"namespace": name}))
        if not answer.refused():
            return answer
    return answer


@case("namespaces", "made-again", "a namespace deleted and made again under its name, and a pod at once", REFUSED,
      "the old entry goes with the namespace, within a second or two; then the rule for unknown namespaces holds",
      needs=("everywhere",))
def made_again(target):
    name = target.new_namespace(labels=target.get("open"))
    target.until("it is open", lambda: not target.refuses(namespace=name).refused())
    target.must("delete", "namespace", name, "--wait=false")
    path = f"/api/v1/namespaces/{name}/finalize"
    if not target.told.get("controllers"):
        target.kubectl("replace", "--raw", path, "-f", "-", give={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}})
    target.until("it is gone", lambda: target.kubectl("get", "namespace", name)[0] != 0, 60)
    time.sleep(3)  # a namespace takes longer than that to be emptied, where controllers do it
    target.new_namespace(name, target.told.get("enforcing", {}))
    return target.create(target.pod(target.refused, {"namespace": name}))


@case("namespaces", "name-label", "the label `kubernetes.io/metadata.name: kube-system` on another namespace", REFUSED,
      "the API server sets that label from the name")
def name_label(target):
    name = target.new_namespace(labels={**target.told.get("enforcing", {}), "kubernetes.io/metadata.name": "kube-system"})
    target.kubectl("label", "namespace", name, "--overwrite", "kubernetes.io/metadata.name=kube-system")
    target.until("it is enforced", lambda: target.refuses(namespace=name).refused(), 15)
    return target.create(target.pod(target.refused, {"namespace": name}))


@case("namespaces", "name-like-an-exempt-one", "a namespace called `kube-system-x` or `x-kube-system`", REFUSED, "names are compared whole")
def alike(target):
    for name in (f"kube-system-{target.namespace}", f"{target.namespace}-kube-system"):
        target.new_namespace(name, target.told.get("enforcing", {}))
        target.until("it is enforced", lambda: target.refuses(namespace=name).refused(), 15)
        answer = target.create(target.pod(target.refused, {"namespace": name}))
        if not answer.refused():
            return answer
    return answer


@case("namespaces", "label-by-a-user", "the label that opens a namespace, set by who may not write namespaces", "rejected",
      "admission's labels are on the namespace, not on what is in it. A Role with `*` on resources of the core group does hold "
      "for the labels of its namespace: give no such Role", needs=("open",))
def by_user(target):
    words = [f"{key}={value}" for key, value in target.get("open").items()]
    return target.ask("label", "namespace", target.namespace, "--overwrite", *words, user=ORDINARY)


@case("namespaces", "label-by-who-may", "the same by who may label namespaces", "out of reach",
      "whoever may label a namespace decides its mode and tenant: keep that right where you keep `Policy`", needs=("open",))
def by_admin(target):
    name = target.new_namespace(labels=target.told.get("enforcing", {}))
    target.until("it is enforced", lambda: target.refuses(namespace=name).refused(), 15)
    target.label(name, target.get("open"))
    target.until("it is open", lambda: not target.refuses(namespace=name).refused(), 15)
    return target.refuses(namespace=name)


def either_registration(target, value):
    name = target.new_namespace(labels={**target.told.get("enforcing", {}), "stella-ops.org/failure-policy": value})
    target.until("it is enforced", lambda: target.refuses(namespace=name).refused(), 15)
    return target.create(target.pod(target.refused, {"namespace": name}))


@case("namespaces", "failure-policy-fail", "a namespace labelled for failure policy Fail", REFUSED,
      "exactly one of the two registrations covers a namespace", needs=("failurePolicyLabel",))
def fail(target):
    return either_registration(target, "Fail")


@case("namespaces", "failure-policy-odd", "a namespace whose failure-policy label has an odd value", REFUSED,
      "the other registration selects by NotIn, so that no value falls between them", needs=("failurePolicyLabel",))
def odd(target):
    return either_registration(target, "fail-or-not")
