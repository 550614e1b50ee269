"""Subresources."""

from suite import ADMITTED, CHANGED, UNCHANGED, Answer, case, section

section("subresources", "Subresources", "Other ways to write an object. The image is looked at afterwards.")


def after(target, pod, answer):
    """Whether the image came in with a request that was taken."""
    image = target.image_of(pod)
    if answer.kind != ADMITTED and image == target.passing:
        return answer
    return Answer(UNCHANGED if image == target.passing else CHANGED, f"image {image}; {answer.text}")


def swap(target):
    return {"spec": {"containers": [{"name": "app", "image": target.refused}]}}


@case("subresources", "status", "the image in a patch of `pods/status`", UNCHANGED, "the API server keeps the spec")
def status(target):
    pod = target.made(target.pod())
    return after(target, pod, target.patch(pod, swap(target), "--subresource=status"))


@case("subresources", "resize", "the image in a patch of `pods/resize`", UNCHANGED, "the API server takes resources only")
def resize(target):
    pod = target.made(target.pod())
    return after(target, pod, target.patch(pod, swap(target), "--subresource=resize"))


@case("subresources", "binding", "the image, and annotations, in a `pods/binding`", UNCHANGED,
      "a binding carries a node and annotations; annotations let nothing in later")
def binding(target):
    pod = target.made(target.pod())
    name = pod.split("/")[1]
    metadata = {"name": name, "namespace": target.namespace, "annotations": {"stella-ops.org/break-glass": "forged"}}
    thing = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": {"kind": "Node", "name": "n"}, **swap(target)}
    path = f"/api/v1/namespaces/{target.namespace}/pods/{name}/binding"
    return after(target, pod, target.ask("create", "--raw", path, "-f", "-", give=thing))


@case("subresources", "bindings", "the image in a Binding sent to `bindings`, the old way", UNCHANGED, "as above")
def bindings(target):
    pod = target.made(target.pod())
    metadata = {"name": pod.split("/")[1], "namespace": target.namespace}
    thing = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": {"kind": "Node", "name": "n"}, **swap(target)}
    return after(target, pod, target.ask("create", "--raw", f"/api/v1/namespaces/{target.namespace}/bindings", "-f", "-", give=thing))


@case("subresources", "status-of-a-workload", "the image in a patch of `deployments/status` and `jobs/status`", UNCHANGED,
      "the API server keeps the spec")
def workload_status(target):
    template = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": target.refused}]}}}}
    job = target.workload("batch/v1", "Job", {"suspend": True, "template": target.template(target.passing, restartPolicy="Never")})
    for made in (target.made(target.deployment(target.passing)), target.made(job)):
        answer = target.patch(made, template, "--subresource=status")
        image = target.image_of(made, "{.spec.template.spec.containers[0].image}")
        if image != target.passing:
            return Answer(CHANGED, f"{made}: image {image}; {answer.text}")
    return Answer(UNCHANGED, answer.text)


@case("subresources", "eviction", "the image in a `pods/eviction`", UNCHANGED, "it names a pod and options")
def eviction(target):
    pod = target.made(target.pod(metadata={"finalizers": ["bypass.example/stay"]}))
    name = pod.split("/")[1]
    thing = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": target.namespace}, **swap(target)}
    path = f"/api/v1/namespaces/{target.namespace}/pods/{name}/eviction"
    answer = target.ask("create", "--raw", path, "-f", "-", give=thing)
    try:
        return after(target, pod, answer)
    finally:
        target.patch(pod, {"metadata": {"finalizers": None}}, kind="merge")


@case("subresources", "scale", "a template in a write of `deployments/scale`", UNCHANGED, "a Scale has a number only")
def scale(target):
    name = target.made(target.deployment(target.passing)).split("/")[1]
    thing = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name, "namespace": target.namespace},
             "spec": {"replicas": 0, "template": target.template(target.refused)}}
    path = f"/apis/apps/v1/namespaces/{target.namespace}/deployments/{name}/scale"
    answer = target.ask("replace", "--raw", path, "-f", "-", give=thing)
    image = target.image_of(f"deployment/{name}", "{.spec.template.spec.containers[0].image}")
    return Answer(UNCHANGED if image == target.passing else CHANGED, f"image {image}; {answer.text}")


@case("subresources", "other-ephemeral-change", "the image of an ordinary container in a patch of `pods/ephemeralcontainers`", UNCHANGED,
      "the API server takes ephemeral containers only; what it takes is judged")
def through_ephemeral(target):
    pod = target.made(target.pod())
    return after(target, pod, target.patch(pod, swap(target), "--subresource=ephemeralcontainers"))


@case("subresources", "exec", "a program copied into a running container (`pods/exec`, `kubectl cp`)", "out of reach",
      "no image is named; whoever may exec may run anything. Keep that right few; a program that is not of its image is for "
      "the agent to see", needs=("node_shell",))
def execute(target):
    raise NotImplementedError("needs a kubelet")


@case("subresources", "attach", "input typed into a running container (`pods/attach`)", "out of reach",
      "no image is named: what is typed goes to a program that was let in. Keep that right as few as `pods/exec`; what a shell starts "
      "then is for the agent to see", needs=("node_shell",))
def attach(target):
    raise NotImplementedError("needs a kubelet")


@case("subresources", "port-forward", "a connection to any port of a running pod (`pods/portforward`)", "out of reach",
      "no image is named: it reaches what listens in the pod, past network policies, and is a matter of RBAC", needs=("node_shell",))
def port_forward(target):
    raise NotImplementedError("needs a kubelet")


@case("subresources", "proxy", "a request through the API server to a pod (`pods/proxy`, `services/proxy`)", "out of reach",
      "no image is named: it reaches what listens in the pod as the API server, and is a matter of RBAC", needs=("node_shell",))
def proxy(target):
    raise NotImplementedError("needs a kubelet")
