"""Changing what was let in."""

from suite import REFUSED, REJECTED, case, section

section("updates", "Updates", "A pod or template with a passing image, and then another.")
HOW = "an update is judged for every image that the old object lacks, by its full spelling"


def swap(target):
    return {"spec": {"containers": [{"name": "app", "image": target.refused}]}}


@case("updates", "strategic-patch", "`kubectl set image` on a pod", REFUSED, HOW)
def strategic(target):
    return target.patch(target.made(target.pod()), swap(target))


@case("updates", "json-patch", "a JSON patch", REFUSED, HOW)
def json_patch(target):
    change = [{"op": "replace", "path": "/spec/containers/0/image", "value": target.refused}]
    return target.patch(target.made(target.pod()), change, kind="json")


@case("updates", "merge-patch", "a merge patch", REFUSED, HOW)
def merge(target):
    pod = target.pod()
    name = target.made(pod)
    container = {**pod["spec"]["containers"][0], "image": target.refused}
    return target.patch(name, {"spec": {"containers": [container]}}, kind="merge")


@case("updates", "replace", "PUT of the whole object", REFUSED, HOW)
def replace(target):
    import json
    pod = json.loads(target.must("-n", target.namespace, "get", target.made(target.pod()), "-o", "json"))
    pod["spec"]["containers"][0]["image"] = target.refused
    return target.ask("replace", "-f", "-", give=pod)


@case("updates", "init-image", "the image of an init container that has run already", REFUSED, HOW)
def init_image(target):
    pod = target.made(target.pod(initContainers=[{"name": "i", "image": target.passing}]))
    return target.patch(pod, {"spec": {"initContainers": [{"name": "i", "image": target.refused}]}})


@case("updates", "second-ephemeral", "a second ephemeral container, beside one that passes", REFUSED, HOW)
def second(target):
    pod = target.made(target.pod())
    first = {"name": "one", "image": target.passing}
    target.patch(pod, {"spec": {"ephemeralContainers": [first]}}, "--subresource=ephemeralcontainers")
    more = [first, {"name": "two", "image": target.refused}]
    return target.patch(pod, {"spec": {"ephemeralContainers": more}}, "--subresource=ephemeralcontainers")


@case("updates", "image-and-scale-down", "a Deployment's image changed in the same request that scales it down", "noticed",
      "a scale-down passes because it brings no image, not because it is one")
def with_scale_down(target):
    thing = target.deployment(target.passing, replicas=1)
    name = target.made(thing)
    template = {"spec": {"containers": [{"name": "app", "image": target.refused}]}}
    return target.patch(name, {"spec": {"replicas": 0, "template": template}})


@case("updates", "deletion-timestamp-at-creation", "a pod created with a `deletionTimestamp` of its author's", REFUSED,
      "only an old object that the API server itself is deleting counts as dying")
def dying_at_creation(target):
    metadata = {"deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["bypass.example/stay"]}
    return target.create(target.pod(target.refused, metadata))


@case("updates", "deletion-timestamp-in-an-update", "an update that brings the image and a `deletionTimestamp`", REJECTED,
      "the field cannot be set; and only what the old object says of it counts")
def dying_in_an_update(target):
    change = {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}, **swap(target)}
    return target.patch(target.made(target.pod()), change)


@case("updates", "dying-with-a-finalizer", "the image put into a pod that is being deleted and held by a finalizer", "out of reach",
      "let through so that nothing hinders a deletion: kubelet and controllers start nothing of an object that is being deleted")
def dying(target):
    pod = target.made(target.pod(metadata={"finalizers": ["bypass.example/stay"]}))
    try:
        target.must("-n", target.namespace, "delete", pod, "--wait=false")
        return target.patch(pod, swap(target))
    finally:
        target.patch(pod, {"metadata": {"finalizers": None}}, kind="merge")


def running(target):
    """A pod with the refused image from the time before the namespace was enforced."""
    name = target.new_namespace(labels=target.get("open"))
    target.until("the open namespace takes it", lambda: not target.refuses(namespace=name).refused())
    thing = target.pod(target.refused, {"namespace": name})
    target.must("create", "-f", "-", give=thing)
    target.label(name, target.get("enforcing"))
    target.until("the namespace is enforced", lambda: target.refuses(namespace=name).refused())
    return name, f"pod/{thing['metadata']['name']}"


@case("updates", "label-of-an-old-pod", "a label on a pod that runs a refused image from before", "admitted",
      "nothing new comes in; else nobody could mend or drain what runs", needs=("open",))
def old_pod(target):
    name, pod = running(target)
    return target.ask("-n", name, "label", pod, "touched=yes")


@case("updates", "old-image-into-another-container", "the refused image that a pod runs from before, put into its second container", "admitted",
      "the pod has that image already; a pod is not judged twice for one image", needs=("open",))
def other_container(target):
    name, pod = running(target)
    thing = {"spec": {"ephemeralContainers": [{"name": "again", "image": target.refused}]}}
    import json
    words = ["-n", name, "patch", pod, "--subresource=ephemeralcontainers", "--type=strategic", "--patch", json.dumps(thing)]
    return target.ask(*words)


@case("updates", "recreated-old-pod", "an old pod deleted and made again", REFUSED,
      "CREATE is judged whole; `gracePeriodSeconds` is how a policy lets them come back for a while", needs=("open",))
def again(target):
    name, pod = running(target)
    target.must("-n", name, "delete", pod, "--wait=false", "--grace-period=0", "--force")
    return target.create(target.pod(target.refused, {"namespace": name}))


@case("updates", "same-name-other-spelling", "an old image written otherwise in an update", "admitted",
      "`x` and `docker.io/library/x:latest` are one image", needs=("hub",))
def other_spelling(target):
    name = target.made(target.deployment(target.get("hubPassing")))
    return target.patch(name, {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "docker.io/library/" + target.get("hubPassing")}]}}}})
