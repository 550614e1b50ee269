"""Waivers and policies of ours."""

import time

from suite import REFUSED, case, section

section("waivers", "Waivers and policies",
        "For webhooks of this product: `Policy` objects and waivers of the API that open something, and what they must not open.")
NEEDS = ("policies", "cves")
API_NEEDS = (*NEEDS, "api")
FAR = "2999-01-01T00:00:00Z"


def waiver(number, cve, **fields):
    return {"id": f"w{number}", "cve": cve, "justification": "test", "owner": "o", "ticket": "t", "expires": FAR, **fields}


def policy(target, namespace, waivers, name="own", **admission):
    thing = {"apiVersion": "stella-ops.org/v1alpha1", "kind": "Policy", "metadata": {"name": name, "namespace": namespace},
             "spec": {"rules": [], "priority": 100, "waivers": waivers, "admission": {"mode": "enforce", "gracePeriodSeconds": 0, **admission}}}
    target.must("apply", "-f", "-", give=thing)
    return name


def enforced(target):
    name = target.new_namespace(labels=target.told.get("enforcing", {}))
    target.until("the namespace is enforced", lambda: target.refuses(namespace=name).refused(), 15)
    return name


def served(target, namespace, name="own"):
    path = "{.status.observedGeneration}/{.metadata.generation} {.status.servedRevision}/{.status.revision}"
    def done():
        text = target.must("-n", namespace, "get", "policy", name, "-o", f"jsonpath={path}").split()
        pairs = [part.split("/") for part in text]
        return len(pairs) == 2 and all(len(pair) == 2 and pair[0] and pair[0] == pair[1] for pair in pairs)
    target.until("the policy is served", done)
    time.sleep(0.5)


@case("waivers", "all-waived", "every finding of the image waived in the namespace's own policy", "admitted",
      "that is what waivers are for; the cases below take one thing away", needs=NEEDS)
def all_waived(target):
    name = enforced(target)
    policy(target, name, [waiver(n, cve) for n, cve in enumerate(target.get("cves"))])
    target.until("the waivers hold", lambda: not target.refuses(namespace=name).refused())
    return target.refuses(namespace=name)


@case("waivers", "another-namespace", "the same waivers, in another namespace's policy", REFUSED,
      "a policy acts on its own namespace", needs=NEEDS)
def another(target):
    name, other = enforced(target), enforced(target)
    policy(target, name, [waiver(n, cve) for n, cve in enumerate(target.get("cves"))])
    target.until("the waivers hold", lambda: not target.refuses(namespace=name).refused())
    return target.create(target.pod(target.refused, {"namespace": other}))


@case("waivers", "selector-from-another-namespace", "a policy outside the policy namespace that selects every namespace", REFUSED,
      "a namespace selector counts in the policy namespace only; elsewhere a policy acts on its own namespace", needs=NEEDS)
def selector(target):
    name, other = enforced(target), enforced(target)
    waivers = [waiver(n, cve) for n, cve in enumerate(target.get("cves"))]
    policy(target, name, waivers, namespaceSelector={})
    time.sleep(3)
    return target.create(target.pod(target.refused, {"namespace": other}))


@case("waivers", "one-finding-left", "all findings waived but one", REFUSED, "each finding is judged", needs=NEEDS)
def one_left(target):
    name = enforced(target)
    policy(target, name, [waiver(n, cve) for n, cve in enumerate(target.get("cves")[1:])])
    served(target, name)
    return target.create(target.pod(target.refused, {"namespace": name}))


@case("waivers", "two-halves", "two waivers of which each fits by half: right CVE with a wrong package, wrong CVE with the right one", REFUSED,
      "all that a waiver names must fit; halves of two are not put together", needs=NEEDS)
def halves(target):
    name = enforced(target)
    cves = target.get("cves")
    waivers = [waiver(n, cve, purls=["pkg:pypi/other@1"]) for n, cve in enumerate(cves)]
    waivers += [waiver(1000 + n, f"CVE-1999-{n:04}") for n in range(3)]
    policy(target, name, waivers)
    served(target, name)
    return target.create(target.pod(target.refused, {"namespace": name}))


@case("waivers", "for-another-image", "waivers for another image's name", REFUSED, "a waiver holds for the images it names", needs=NEEDS)
def other_image(target):
    name = enforced(target)
    policy(target, name, [waiver(n, cve, images=["elsewhere.example/**"]) for n, cve in enumerate(target.get("cves"))])
    served(target, name)
    return target.create(target.pod(target.refused, {"namespace": name}))


@case("waivers", "expired-in-the-background", "waivers that end while nothing is asked and nothing changes", REFUSED,
      "the webhook holds what a verdict becomes and when, and needs no connection for it", needs=NEEDS)
def expired(target):
    name = enforced(target)
    end = time.time() + 8
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
    policy(target, name, [waiver(n, cve, expires=expires) for n, cve in enumerate(target.get("cves"))])
    target.until("the waivers hold", lambda: not target.refuses(namespace=name).refused(), 7)
    time.sleep(max(0.0, end + 1.1 - time.time()))
    return target.create(target.pod(target.refused, {"namespace": name}))


@case("waivers", "audit-beside-enforce", "a policy of the namespace that only audits, beside the tenant's that enforces", REFUSED,
      "the strictest mode counts", needs=NEEDS)
def audits(target):
    name = enforced(target)
    policy(target, name, [], mode="audit")
    served(target, name)
    return target.create(target.pod(target.refused, {"namespace": name}))


def over_api(target, tenant=None, seconds=None, **fields):
    """Waives every CVE of the image over the API; gives the waivers' ids."""
    end = {"expires": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))} if seconds else {}
    prefix = target.name("api")
    made = []
    for number, cve in enumerate(target.get("cves")):
        body = {**waiver(number, cve, **end, **fields), "id": f"{target.namespace}-{prefix}-{number}"}
        target.call("POST", "/api/v1/waivers", body, tenant)
        made.append(body["id"])
    return made


def withdrawn(target, made, tenant=None):
    for name in made:
        target.call("DELETE", f"/api/v1/waivers/{name}", None, tenant)


def opens(target):
    """Whether the image that policy refuses is let in meanwhile."""
    return not target.refuses().refused()


@case("waivers", "api-withdrawn", "every finding waived over the API for the tenant, then withdrawn", REFUSED,
      "a waiver hides findings as long as it stands, and is gone within seconds", needs=API_NEEDS)
def api_withdrawn(target):
    made = over_api(target)
    try:
        target.until("the waivers hold", lambda: opens(target))
    finally:
        withdrawn(target, made)
    target.until("they hold no more", lambda: not opens(target))
    return target.create(target.pod(target.refused))


@case("waivers", "api-expired-in-the-background", "waivers of the API that end while nothing is asked and nothing changes", REFUSED,
      "the webhook holds what a verdict becomes and when, as with waivers of a policy", needs=API_NEEDS)
def api_expired(target):
    end = int(time.time()) + 9
    made = over_api(target, seconds=end)
    try:
        target.until("the waivers hold", lambda: opens(target), 7)
        time.sleep(max(0.0, end + 1.1 - time.time()))
        return target.create(target.pod(target.refused))
    finally:
        withdrawn(target, made)


@case("waivers", "api-of-another-tenant", "every finding waived over the API by another tenant", REFUSED,
      "a waiver holds in the tenant of who made it; of namespaces the operator alone knows whose they are", needs=API_NEEDS)
def api_other_tenant(target):
    made = over_api(target, tenant="bypass-other")
    try:
        time.sleep(3)
        return target.create(target.pod(target.refused))
    finally:
        withdrawn(target, made, "bypass-other")


@case("waivers", "api-for-another-image", "every finding waived over the API for images of another name", REFUSED,
      "a waiver holds for the images it names", needs=API_NEEDS)
def api_other_image(target):
    made = over_api(target, images=["elsewhere.example/**"])
    try:
        time.sleep(3)
        return target.create(target.pod(target.refused))
    finally:
        withdrawn(target, made)


@case("waivers", "api-and-policy-by-half",
      "two waivers of which each fits by half: over the API the right CVE for another image, in the policy the right image for a wrong package",
      REFUSED, "all that a waiver names must fit; halves of two are not put together, wherever they come from", needs=API_NEEDS)
def api_halves(target):
    name = enforced(target)
    made = over_api(target, images=["elsewhere.example/**"])
    try:
        policy(target, name, [waiver(n, cve, purls=["pkg:pypi/other@1"]) for n, cve in enumerate(target.get("cves"))])
        served(target, name)
        return target.create(target.pod(target.refused, {"namespace": name}))
    finally:
        withdrawn(target, made)
