"""Signatures and SBOMs, where policy demands them."""

from suite import ADMITTED, REFUSED, case, section

section("signatures", "Signatures and SBOMs",
        "For webhooks of this product: images that pass but for their signature or SBOM, in a namespace whose policy demands one "
        "by a certain key (`requireSignature`, `requireSbom`). All of it is looked for ahead; no review waits for a registry.")
NEEDS = ("policies", "signatures")


def demanding(target, **admission):
    """A namespace whose policy demands something, once that is in force: the image that has all of it is let in there."""
    told = target.get("signatures")
    name = target.new_namespace(labels=target.told.get("enforcing", {}))
    signers = [{"name": "release", "key": told["key"]}]
    thing = {"apiVersion": "stella-ops.org/v1alpha1", "kind": "Policy", "metadata": {"name": "signed", "namespace": name},
             "spec": {"rules": [], "admission": {"mode": "enforce", "gracePeriodSeconds": 0, "unscanned": "deny", "signers": signers, **admission}}}
    target.must("apply", "-f", "-", give=thing)
    target.until("what is not signed is refused", lambda: target.refuses(told["unsigned"], name).refused(), 60)
    target.until("what has all of it is let in", lambda: not target.refuses(told["all"], name).refused(), 90)
    return name


def tried(target, which, reason, **admission):
    """A pod with one of the images, once it was looked at: what is refused for being unknown proves nothing."""
    name, image = demanding(target, **admission), target.get("signatures")[which]
    target.until(f"a refusal for {reason}", lambda: reason in target.refuses(image, name).text, 90)
    return target.create(target.pod(image, {"namespace": name}))


@case("signatures", "signed", "an image that the key signed, with an SBOM that the key attests", ADMITTED,
      "that is what is demanded; the cases below take one thing away", needs=NEEDS)
def signed(target):
    name = demanding(target, requireSignature=True, requireSbom=True)
    return target.create(target.pod(target.get("signatures")["all"], {"namespace": name}))


@case("signatures", "unsigned", "one that nobody signed", REFUSED, "`signature.missing`", needs=NEEDS)
def unsigned(target):
    return tried(target, "unsigned", "signature.missing", requireSignature=True)


@case("signatures", "signed-by-another-key", "one that another key signed", REFUSED, "the key verifies it or nothing does", needs=NEEDS)
def another_key(target):
    return tried(target, "otherKey", "it is not by the key", requireSignature=True)


@case("signatures", "attestation-of-the-wrong-type", "one with an attestation by the key that is no signature (provenance)", REFUSED,
      "a signature is a statement of the type `https://sigstore.dev/cosign/sign/v1`, or a payload of simple signing; an attestation "
      "says something about an image, not that somebody stands for it", needs=NEEDS)
def wrong_type(target):
    return tried(target, "wrongType", "is neither a signature nor an SBOM", requireSignature=True)


@case("signatures", "attestation-for-another-subject", "the key's signature of another image, attached to this one", REFUSED,
      "what is signed names the digest it is of; where it is attached proves nothing", needs=NEEDS)
def another_subject(target):
    return tried(target, "otherSubject", "it is of another image", requireSignature=True)


@case("signatures", "sbom-in-place-of-a-signature", "an SBOM attested by the key, where a signature is demanded", REFUSED,
      "each is demanded by itself", needs=NEEDS)
def sbom_only(target):
    return tried(target, "sbom", "signature.missing", requireSignature=True)


@case("signatures", "signature-in-place-of-an-sbom", "a signature by the key, where an SBOM is demanded", REFUSED,
      "each is demanded by itself", needs=NEEDS)
def signature_only(target):
    return tried(target, "signature", "sbom.missing", requireSbom=True)


@case("signatures", "attestation-that-attaches-none", "an attestation by the key of the type of an SBOM, with nothing in it", REFUSED,
      "an SBOM has to be one that can be read and lists something", needs=NEEDS)
def empty_sbom(target):
    return tried(target, "emptySbom", "sbom.missing", requireSbom=True)


@case("signatures", "sbom-that-nobody-signed", "an SBOM attached as it is, where the policy names signers", REFUSED,
      "whoever may push could attach it; without `signers` in the policy that is enough", needs=NEEDS)
def bare_sbom(target):
    return tried(target, "bareSbom", "an SBOM is attached that nobody signed", requireSbom=True)


@case("signatures", "unsigned-index-of-a-signed-manifest", "an index for several platforms that nobody signed; of the images in it the key "
      "signed the one that was scanned", REFUSED,
      "a signature lets in what it is of, and whatever leads to that alone: a node of another platform would run what nobody signed. "
      "The index is as if nobody had scanned it, which `unscanned: deny` refuses", needs=NEEDS)
def unsigned_index(target):
    told, name = target.get("signatures"), demanding(target, requireSignature=True)
    target.until("what is signed is let in", lambda: not target.refuses(told["listedManifest"], name).refused(), 90)
    return target.create(target.pod(told["unsignedIndex"], {"namespace": name}))
