"""Where an image can stand in a pod."""

from suite import REFUSED, case, section

section("places", "Places of a pod", "A pod whose other images are fine, with one that policy refuses.")
HOW = "every field of a pod that holds an image is read; tests/bypass/images.py finds them in the API server's own OpenAPI"


@case("places", "container", "a pod with the image", REFUSED, HOW)
def container(target):
    return target.create(target.pod(target.refused))


@case("places", "last-of-many-containers", "fifty containers, the last one with the image", REFUSED, HOW)
def last(target):
    pod = target.pod()
    pod["spec"]["containers"] = [{"name": f"c{n}", "image": target.passing} for n in range(49)]
    pod["spec"]["containers"].append({"name": "last", "image": target.refused})
    return target.create(pod)


@case("places", "init-container", "an init container", REFUSED, HOW)
def init(target):
    return target.create(target.pod(initContainers=[{"name": "i", "image": target.refused}]))


@case("places", "sidecar", "an init container that goes on running (restartPolicy Always)", REFUSED, HOW)
def sidecar(target):
    return target.create(target.pod(initContainers=[{"name": "i", "image": target.refused, "restartPolicy": "Always"}]))


@case("places", "ephemeral-container", "`kubectl debug`: an ephemeral container in a pod that runs", REFUSED,
      "`pods/ephemeralcontainers` is registered, and compared with the old pod")
def ephemeral(target):
    pod = target.made(target.pod())
    change = {"spec": {"ephemeralContainers": [{"name": "debug", "image": target.refused}]}}
    return target.patch(pod, change, "--subresource=ephemeralcontainers")


@case("places", "image-volume", "a volume of type image", REFUSED, HOW)
def volume(target):
    return target.create(target.pod(volumes=[{"name": "v", "image": {"reference": target.refused}}]))


@case("places", "csi-volume", "a CSI volume whose driver mounts an image (`volumeAttributes`)", "out of reach",
      "what a driver makes of its attributes only the driver knows; allow no such driver")
def csi(target):
    attributes = {"image": target.refused}
    return target.create(target.pod(volumes=[{"name": "v", "csi": {"driver": "image.csi.example", "volumeAttributes": attributes}}]))


@case("places", "annotation-only", "the image named in annotations and labels only", "admitted",
      "nothing runs from there; an injector that reads it changes the pod before validating webhooks see it")
def annotation(target):
    return target.create(target.pod(metadata={"annotations": {"inject.example/image": target.refused}}))


@case("places", "generate-name", "a pod without a name (`generateName`)", REFUSED, "the name plays no part")
def generated(target):
    pod = target.pod(target.refused, {"generateName": "try-"})
    del pod["metadata"]["name"]
    return target.create(pod)


@case("places", "node-name", "a pod bound to its node by its author, past the scheduler", REFUSED, "admission comes before")
def node_name(target):
    return target.create(target.pod(target.refused, nodeName="some-node"))


@case("places", "dry-run", "a dry run", REFUSED, "answered alike; no scan, no event, no record follows")
def dry_run(target):
    return target.create(target.pod(target.refused), "--dry-run=server")


@case("places", "server-side-apply", "created by server-side apply, which is a PATCH", REFUSED,
      "the API server sends it as CREATE")
def applied(target):
    return target.ask("apply", "--server-side", "-f", "-", give=target.pod(target.refused))


@case("places", "in-a-list", "in a List, behind one that passes", REFUSED, "each object is a request of its own")
def in_a_list(target):
    items = [target.pod(), target.pod(target.refused)]
    return target.create({"apiVersion": "v1", "kind": "List", "items": items})


@case("places", "duplicate-key", "`image` written twice in the request, the passing one last or first", REFUSED,
      "the API server takes the last, and sends what it took; the webhook never sees the text of the request")
def twice(target):
    import json
    text = json.dumps(target.pod()).replace('"image":', f'"image": "{target.passing}", "image":')
    text = text.replace(f'"image": "{target.passing}"}}', f'"image": "{target.refused}"}}')
    return target.ask("create", "--validate=ignore", "--raw", f"/api/v1/namespaces/{target.namespace}/pods", "-f", "-", give=text)


@case("places", "other-case-of-key", "`Image` besides `image`", "admitted",
      "Kubernetes reads fields by exact case: the pod has only its passing image")
def other_case(target):
    pod = target.pod()
    pod["spec"]["containers"][0]["Image"] = target.refused
    return target.create(pod, "--validate=ignore")
