"""What makes pods."""

from suite import REFUSED, Answer, case, section
from target import CONTROLLER

section("makers", "What makes pods",
        "Deployments and the like are warned about or refused, as configured (`admission.workloads`); their pods are refused.")
HOW = "registered with CREATE and UPDATE"


def selected(target, **more):
    return {"selector": {"matchLabels": {"app": "bypass"}}, "template": target.template(target.refused), **more}


def job(target):
    return {"template": target.template(target.refused, restartPolicy="Never")}


@case("makers", "deployment", "a Deployment", "noticed", HOW)
def deployment(target):
    return target.create(target.workload("apps/v1", "Deployment", selected(target, replicas=0)))


@case("makers", "statefulset", "a StatefulSet", "noticed", HOW)
def statefulset(target):
    return target.create(target.workload("apps/v1", "StatefulSet", selected(target, replicas=0, serviceName="x")))


@case("makers", "daemonset", "a DaemonSet", "noticed", HOW)
def daemonset(target):
    return target.create(target.workload("apps/v1", "DaemonSet", selected(target)))


@case("makers", "replicaset", "a ReplicaSet", "noticed", HOW)
def replicaset(target):
    return target.create(target.workload("apps/v1", "ReplicaSet", selected(target, replicas=0)))


@case("makers", "replicationcontroller", "a ReplicationController", "noticed", HOW)
def controller(target):
    spec = {"replicas": 0, "selector": {"app": "bypass"}, "template": target.template(target.refused)}
    return target.create(target.workload("v1", "ReplicationController", spec))


@case("makers", "job", "a Job", "noticed", HOW)
def a_job(target):
    return target.create(target.workload("batch/v1", "Job", {"suspend": True, **job(target)}))


@case("makers", "cronjob", "a CronJob", "noticed", HOW)
def cronjob(target):
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job(target)}}
    return target.create(target.workload("batch/v1", "CronJob", spec))


def controllers_pod(target, owner_kind="ReplicaSet"):
    """The pod that a controller makes, as the controller."""
    owner = {"apiVersion": "apps/v1", "kind": owner_kind, "name": "web", "uid": "00000000-0000-0000-0000-000000000001", "controller": True}
    return target.create(target.pod(target.refused, {"ownerReferences": [owner]}), user=CONTROLLER)


@case("makers", "pod-of-a-controller", "the pod that a ReplicaSet's controller makes, as its account", REFUSED,
      "who asks plays no part: controllers' accounts are not exempt")
def of_a_controller(target):
    return controllers_pod(target)


@case("makers", "scale-from-zero", "a Deployment made with no replicas, then scaled (`deployments/scale`)", REFUSED,
      "scaling changes no image and passes; the pods it leads to are refused")
def scale(target):
    thing = target.deployment(target.refused)
    target.kubectl("create", "-f", "-", give=thing)
    name = thing["metadata"]["name"]
    target.kubectl("-n", target.namespace, "scale", f"deployment/{name}", "--replicas=2")
    answer = controllers_pod(target)
    if target.has("controllers") and answer.refused():
        import time
        time.sleep(3)
        pods = target.must("-n", target.namespace, "get", "pods", "-l", "app=bypass", "-o", "name")
        if pods.strip():
            return Answer("admitted", f"the controller made {pods}")
    return answer


@case("makers", "pod-template", "a PodTemplate (core/v1)", "out of reach",
      "nothing in Kubernetes makes pods from it; what does is seen at the Pod")
def pod_template(target):
    thing = target.workload("v1", "PodTemplate", None)
    del thing["spec"]
    return target.create({**thing, "template": target.template(target.refused)})


@case("makers", "controller-revision", "a ControllerRevision that a rollback would take the image from", "out of reach",
      "its data is bytes to the API server; the StatefulSet's or DaemonSet's pods are seen at the Pod")
def revision(target):
    thing = target.workload("apps/v1", "ControllerRevision", None)
    del thing["spec"]
    data = {"spec": {"template": target.template(target.refused)}}
    return target.create({**thing, "revision": 1, "data": data})


@case("makers", "custom-resource", "a custom resource that carries a pod template", "out of reach",
      "no webhook of ours is asked about other groups; its pods are seen at the Pod")
def custom(target):
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    spec = {"group": "bypass.example", "scope": "Namespaced", "names": names, "versions": [version]}
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.bypass.example"}, "spec": spec}
    target.must("apply", "-f", "-", give=kind)
    try:
        target.must("wait", "--for=condition=Established", "crd/widgets.bypass.example", "--timeout=20s")
        widget = {**target.workload("bypass.example/v1", "Widget", {"template": target.template(target.refused)})}
        target.until("the kind is served", lambda: target.kubectl("-n", target.namespace, "get", "widgets.bypass.example")[0] == 0)
        return target.create(widget)
    finally:
        target.kubectl("delete", "crd", "widgets.bypass.example", "--wait=false")


@case("makers", "static-pod", "a file in a node's manifest folder", "out of reach",
      "the kubelet runs it whatever is answered; its mirror is reported: warning, audit annotation, event on the node",
      needs=("node_shell",))
def static(target):
    raise NotImplementedError("reaches into a node")
