"""How an image is called."""

from suite import ADMITTED, REFUSED, case, section

section("names", "Names of images", "The refused image under every name that a node's runtime would pull it by.")
HOW = "names are brought into one spelling by the rules of the runtimes (distribution's `reference`)"
DIGEST = "a digest decides, whatever stands before it"


def pod(target, image):
    return target.create(target.pod(image))


def digest(target, name="refusedDigest"):
    return target.get(name)


@case("names", "digest", "by digest", REFUSED, DIGEST, needs=("refusedDigest",))
def by_digest(target):
    return pod(target, f"{target.get('repository')}@{digest(target)}")


@case("names", "tag-and-digest", "a passing tag with the refused digest", REFUSED, DIGEST, needs=("refusedDigest",))
def both(target):
    return pod(target, f"{target.passing}@{digest(target)}")


@case("names", "refused-tag-passing-digest", "the refused tag with a passing digest", ADMITTED,
      "the runtime pulls the digest, so that is what is judged", needs=("passingDigest",))
def other_way(target):
    return pod(target, f"{target.refused}@{digest(target, 'passingDigest')}")


@case("names", "digest-elsewhere", "the refused digest in another repository", REFUSED, DIGEST, needs=("refusedDigest",))
def elsewhere(target):
    return pod(target, f"elsewhere.example/copy/of@{digest(target)}")


@case("names", "config-digest", "by the digest of its config, as runtimes show images without a registry", REFUSED,
      "index, manifest and config are names of one image", needs=("configDigest",))
def config(target):
    return pod(target, f"{target.get('repository')}@{digest(target, 'configDigest')}")


@case("names", "bare-digest", "`sha256:...` alone, the id of an image on the node", REFUSED, DIGEST, needs=("configDigest",))
def bare(target):
    return pod(target, digest(target, "configDigest"))


@case("names", "index-digest", "by the digest of an index for several platforms", REFUSED,
      "index, manifest and config are names of one image", needs=("indexDigest",))
def index(target):
    return pod(target, f"{target.get('repository')}@{digest(target, 'indexDigest')}")


@case("names", "platform-manifest", "by the digest of the manifest for the scanned platform within an index", REFUSED,
      "index, manifest and config are names of one image", needs=("platformDigest",))
def platform(target):
    return pod(target, f"{target.get('repository')}@{digest(target, 'platformDigest')}")


@case("names", "other-platform-manifest", "by the digest of the manifest for a platform that was not scanned", "out of reach",
      "it was not scanned: `unscanned: deny` refuses it; an index stands for the platform of the operator", needs=("otherPlatformDigest",))
def other_platform(target):
    return pod(target, f"{target.get('repository')}@{digest(target, 'otherPlatformDigest')}")


@case("names", "sha512", "a digest by another algorithm", "out of reach",
      "verdicts are filed under SHA-256, as images are: nobody has scanned that name, `unscanned: deny` refuses it", needs=("refusedDigest",))
def sha512(target):
    return pod(target, f"{target.get('repository')}@sha512:{'ab' * 64}")


@case("names", "tag-moved", "a tag moved to the refused image after it was scanned as a passing one", "out of reach",
      "a tag says nothing about its content, and the node pulls after the check. Name images by digest (`admission.backstop` "
      "can demand it); the node tells what it runs, and the next pod is judged by that", needs=("movedTag",))
def moved(target):
    return pod(target, target.get("movedTag"))


@case("names", "short-name", "`name:tag`, without `docker.io/library`", REFUSED, HOW, needs=("hub",))
def short(target):
    return pod(target, target.get("hub"))


HUB_HOW = "the hosts of Docker Hub are one registry: docker.io, index.docker.io, registry-1.docker.io, registry.hub.docker.com"


def hub(name, what, text, how=HUB_HOW):
    @case("names", name, what, REFUSED, how, needs=("hub",))
    def run(target):
        return pod(target, text.format(target.get("hub")))


hub("docker-io", "`docker.io/name:tag`, without `library`", "docker.io/{}")
hub("docker-io-library", "`docker.io/library/name:tag`", "docker.io/library/{}")
hub("index-docker-io", "`index.docker.io/name:tag`", "index.docker.io/{}")
hub("registry-1-docker-io", "`registry-1.docker.io/library/name:tag`, where Docker Hub's content comes from", "registry-1.docker.io/library/{}")
hub("hub-docker-com", "`registry.hub.docker.com/library/name:tag`", "registry.hub.docker.com/library/{}")
hub("hub-upper-case", "`DOCKER.IO/library/name:tag`", "DOCKER.IO/library/{}", "names of hosts know no case")
hub("hub-port", "`docker.io:443/library/name:tag`", "docker.io:443/library/{}", "443 is the port without a port")


@case("names", "upper-case-registry", "the registry's name in upper case", REFUSED, "names of hosts know no case", needs=("registryName",))
def upper(target):
    registry = target.get("registryName")
    return pod(target, target.get("byRegistryName").replace(registry, registry.upper(), 1))


@case("names", "port-with-zeros", "zeros before the port of the registry (`host:05000`)", REFUSED, "a port is a number", needs=("registryName",))
def zeros(target):
    host, port = target.get("registryName").rsplit(":", 1)
    return pod(target, target.get("byRegistryName").replace(f"{host}:{port}", f"{host}:0{port}", 1))


@case("names", "latest-left-out", "no tag where `latest` is refused", REFUSED, HOW, needs=("latest",))
def latest(target):
    return pod(target, target.get("latest").removesuffix(":latest"))


@case("names", "white-space", "white space around the image", "rejected", "the API server refuses it in pods")
def white(target):
    return pod(target, f" {target.refused}")


@case("names", "white-space-in-template", "white space around the image, in a template", "noticed",
      "read without it, as the pod's would have to be", short=False)
def white_template(target):
    return target.create(target.deployment(f"{target.refused} "))


@case("names", "idn-registry", "a registry or repository with letters beyond ASCII, alike to the eye", "out of reach",
      "no reference: every runtime refuses to pull it (`InvalidImageName`); it counts as never scanned")
def idn(target):
    return pod(target, target.refused.replace("a", "\u0430"))


@case("names", "prefix-of-a-registry", "a registry whose name begins like the known one (`registry.example.attacker.example`)", "out of reach",
      "another image, which nobody has scanned: `unscanned: deny` refuses it; known registries can be demanded by `admission.backstop`")
def prefix(target):
    return pod(target, "registry.example.attacker.example/" + target.passing.split("/")[-1])


@case("names", "retagged", "the refused image pushed under a tag that nobody scanned", "out of reach",
      "until its scan ends nobody knows what it is: `unscanned: deny` refuses it meanwhile. The first review asks for the scan",
      needs=("retagged",))
def retagged(target):
    return pod(target, target.get("retagged"))


@case("names", "retagged-where-unscanned-is-refused", "the same where policy says `unscanned: deny`", REFUSED,
      "what was not scanned is refused", needs=("strictNamespace", "retagged"))
def retagged_strict(target):
    return target.create(target.pod(target.get("retagged"), {"namespace": target.get("strictNamespace")}))


@case("names", "garbage-where-unscanned-is-refused", "what is no reference, where policy says `unscanned: deny`", REFUSED,
      "what cannot be read was not scanned", needs=("strictNamespace",))
def garbage(target):
    return target.create(target.pod("a//b:::c@@", {"namespace": target.get("strictNamespace")}))


@case("names", "slow-registry", "an image of a registry that takes the connection and never answers", ADMITTED,
      "the webhook asks no registry: the answer does not wait (2 s here), the scan fails later and holds nobody up", needs=("slowRegistry",))
def slow(target):
    return quick(target, f"{target.get('slowRegistry')}/slow/image:1")


@case("names", "endless-registry", "an image of a registry whose answers never end", ADMITTED,
      "the webhook asks no registry; what the operator reads of one is bounded", needs=("endlessRegistry",))
def endless(target):
    return quick(target, f"{target.get('endlessRegistry')}/endless/image:1")


@case("names", "redirecting-registry", "an image of a registry that redirects for ever, to itself and inwards", ADMITTED,
      "the webhook asks no registry; the operator follows few redirects, and none to a lower protocol", needs=("redirectingRegistry",))
def redirecting(target):
    return quick(target, f"{target.get('redirectingRegistry')}/redirect/image:1")


@case("names", "after-the-hostile-registries", "the refused image, after those registries were named", REFUSED,
      "nothing of them stands in the way")
def still(target):
    return quick(target, target.refused)


def quick(target, image):
    import time
    from suite import Answer
    begun = time.monotonic()
    answer = pod(target, image)
    taken = time.monotonic() - begun
    return answer if taken < 2 else Answer("slow", f"{taken:.1f} s: {answer.text}")
