"""Direct calls to the webhook's port."""

import json
import threading

from suite import ADMITTED, ANSWERED, Answer, case, section

section("port", "The port itself",
        "Whoever reaches the port can ask, as the API server does not say who it is unless it is configured to. "
        "An answer lets nothing in: only the API server's own question does.")
NEEDS = ("webhook",)


def review(target, obj=None, old=None, version="admission.k8s.io/v1", operation="CREATE"):
    pod = target.pod(target.refused) if obj is None else obj
    request = {"uid": "u-1", "operation": operation, "namespace": target.namespace, "dryRun": True, "object": pod, "oldObject": old,
               "kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"},
               "userInfo": {"username": "x"}}
    return {"apiVersion": version, "kind": "AdmissionReview", "request": request}


def lives(target):
    status, body = target.post(json.dumps(review(target)))
    if status != 200 or json.loads(body)["response"]["allowed"] is not False:
        raise RuntimeError(f"afterwards: {status} {body[:300]!r}")


def denied(target, body, **how):
    status, text = target.post(body, **how)
    if status != 200:
        return Answer("failed", f"{status} {text[:300]!r}")
    allowed = json.loads(text)["response"]["allowed"]
    return Answer(ADMITTED if allowed else ANSWERED, text[:300].decode(errors="replace"))


def problem(target, body, wanted=(400,), **how):
    """An error that names what is wrong."""
    status, text = target.post(body, **how)
    lives(target)
    return Answer(ANSWERED if status in wanted and text else "failed", f"{status} {text[:300]!r}")


def port(name, what, how):
    return case("port", name, what, ANSWERED, how, needs=NEEDS)


@port("direct-call", "a review by anyone who reaches the port", "answered like any other; it decides nothing. Let only the API server reach the port where the network can tell it apart")
def direct(target):
    return denied(target, json.dumps(review(target)))


@case("port", "namespace-look-up", "a review for a namespace that nobody has made, so that a look-up of it fails", ANSWERED,
      "nothing is looked up while a review waits. What nobody has told of is judged as strictly as any namespace may be, also while the "
      "operator cannot read namespaces (tests/bypass/life.sh takes it that right)", needs=(*NEEDS, "everywhere"))
def no_namespace(target):
    for name in ("never-made-by-anybody", "", "kube-system/x", "x" * 5000):
        body = review(target)
        body["request"]["namespace"] = name
        answer = denied(target, json.dumps(body))
        if answer.kind != ANSWERED:
            return answer
    return answer


@port("old-object", "an update whose old object is left out, or of another kind, or nested in the new one",
      "an image counts as old only where the old object has it in its place; without an old object all of them are new")
def old_objects(target):
    refused = target.pod(target.refused)
    hidden = {**target.pod(), "oldObject": refused, "spec": {**target.pod()["spec"], "oldObject": refused}}
    elsewhere = {"metadata": {"name": "x"}, "status": refused["spec"], "template": {"spec": refused["spec"]}}
    for old in (None, {}, [], "x", hidden, elsewhere):
        answer = denied(target, json.dumps(review(target, obj=refused, old=old, operation="UPDATE")))
        if answer.kind != ANSWERED:
            return Answer(answer.kind, f"old object {json.dumps(old)[:200]}: {answer.text}")
    return answer


@port("odd-lists", "null, texts and numbers among the containers, and the list itself null or an object",
      "what is no container is passed over in its place; what stands beside it is judged")
def odd_lists(target):
    for field in ("containers", "initContainers", "ephemeralContainers"):
        pod = target.pod()
        pod["spec"][field] = [None, 7, "x", [], {"image": None}, {"image": 7}, {"name": "last", "image": target.refused}]
        for other in ("volumes", "initContainers", "ephemeralContainers"):
            pod["spec"].setdefault(other, None)
        answer = denied(target, json.dumps(review(target, obj=pod)))
        if answer.kind != ANSWERED:
            return Answer(answer.kind, f"{field}: {answer.text}")
    return answer


@port("v1beta1", "a review of `admission.k8s.io/v1beta1`", "refused by name; no API server of today sends it, and the registrations ask for v1")
def beta(target):
    return problem(target, json.dumps(review(target, version="admission.k8s.io/v1beta1")))


@port("null-object", "null in place of the object, request, uid or metadata", "a review without an object concerns no image; without request or uid it is none")
def nulls(target):
    body = review(target)
    for path in (("request",), ("request", "uid")):
        changed = json.loads(json.dumps(body))
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = None
        answer = problem(target, json.dumps(changed))
        if answer.kind != ANSWERED:
            return answer
    thing = target.pod(target.refused)
    thing["metadata"] = None
    return denied(target, json.dumps(review(target, obj=thing)))


@port("duplicate-keys", "keys written twice in the body, with a passing object or operation first or last", "a key of the request written twice is an error; within the object the last counts, as in Kubernetes")
def duplicates(target):
    text = json.dumps(review(target)).replace('"operation": "CREATE"', '"operation": "CREATE", "operation": "DELETE"')
    answer = problem(target, text)
    if answer.kind != ANSWERED:
        return answer
    text = json.dumps(review(target)).replace('"image":', f'"image": "{target.passing}", "image":')
    return denied(target, text)


@port("deep-nesting", "a million brackets", "depth is bounded; nothing recurses")
def deep(target):
    text = json.dumps(review(target))
    answer = problem(target, "[" * 1_000_000)
    if answer.kind != ANSWERED:
        return answer
    inside = text.replace('"spec":', '"extra": ' + "[" * 100_000 + "]" * 100_000 + ', "spec":', 1)
    status, body = target.post(inside)
    lives(target)
    fine = status == 400 or (status == 200 and not json.loads(body)["response"]["allowed"])
    return Answer(ANSWERED if fine else "failed", f"{status} {body[:200]!r}")


def padded(target, size):
    pod = target.pod(target.refused)
    pod["spec"]["containers"][0]["env"] = [{"name": "A", "value": "x" * size}]
    return json.dumps(review(target, obj=pod))


@port("two-megabytes", "a review of 2 MB", "read and refused")
def two(target):
    return denied(target, padded(target, 2_000_000))


@port("seven-megabytes", "a review of 7.5 MB", "read and refused")
def seven(target):
    return denied(target, padded(target, 7_500_000))


@port("too-large", "a review of 40 MB", "refused as too large; no API server can send it")
def too_large(target):
    return problem(target, padded(target, 40_000_000), wanted=(413, 0))


@port("many-small-values", "7 MB of the smallest objects there are", "what is not needed is not kept: memory stays bounded")
def small_values(target):
    pod = target.pod(target.refused)
    pod["spec"]["containers"][0]["env"] = [{"a": 1}] * 700_000
    return denied(target, json.dumps(review(target, obj=pod), separators=(",", ":")))


@port("odd-unicode-in-a-body", "unpaired surrogates, NUL, a byte that is no UTF-8", "refused where it is no JSON, read where it is")
def odd(target):
    text = json.dumps(review(target))
    answer = problem(target, text.replace("app", "\\ud800", 1))
    if answer.kind != ANSWERED:
        return answer
    return problem(target, text.encode().replace(b"app", b"\xff\xfe", 1))


@port("cut-off", "bodies cut off at several places", "an error; nothing is decided by half")
def cut(target):
    text = json.dumps(review(target))
    for part in (0, 1, 10, len(text) // 2, len(text) - 1):
        answer = problem(target, text[:part])
        if answer.kind != ANSWERED:
            return answer
    return answer


@port("many-large-at-once", "forty reviews of 7 MB at once", "bodies share a budget of memory; all are answered")
def at_once(target):
    body, results = padded(target, 7_000_000), []
    threads = [threading.Thread(target=lambda: results.append(target.post(body, wait=60)[0])) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lives(target)
    fine = results.count(200) == 40
    return Answer(ANSWERED if fine else "failed", f"statuses {sorted(results)}")


@port("other-paths", "other paths and methods", "there is only `POST /validate` besides the probes")
def paths(target):
    return problem(target, json.dumps(review(target)), wanted=(404, 405), path="/mutate")
