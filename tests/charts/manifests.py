"""What has to hold for rendered manifests, whatever the values: manifests.py NAMESPACE FILE..."""

import sys

import yaml

OPEN_TO_ALL = {"CREATE", "UPDATE"}
DANGEROUS = {"*", "escalate", "bind", "impersonate"}
CLUSTER_WIDE = {
    "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration",
}
# What each account may do, at most.
CLUSTER_RIGHTS = {
    "stella-operator": {
        ("stella-ops.org", kind, verb)
        for kind in ("scanjobs", "policies", "exportprofiles")
        for verb in ("get", "list", "watch")
    } | {
        ("stella-ops.org", f"{kind}/status", verb)
        for kind in ("scanjobs", "policies", "exportprofiles")
        for verb in ("patch", "update")
    } | {
        ("", kind, verb) for kind in ("namespaces", "pods", "nodes") for verb in ("get", "list", "watch")
    } | {
        ("stella-ops.org", "scanjobs", "delete"),
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("events.k8s.io", "events", "create"),
        ("events.k8s.io", "events", "patch"),
    },
    "stella-webhook": {
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "get"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "patch"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
        ("events.k8s.io", "events", "create"),
        ("events.k8s.io", "events", "patch"),
    },
}


class Check:
    """Collects what does not hold."""

    def __init__(self, namespace, objects):
        self.namespace, self.objects, self.wrong = namespace, objects, []

    def expect(self, holds, item, text):
        if not holds:
            self.wrong.append(f"{item['kind']} {item['metadata']['name']}: {text}")

    def of(self, *kinds):
        return [item for item in self.objects if item["kind"] in kinds]

    def pods(self):
        for item in self.of("Deployment", "DaemonSet"):
            yield item, item["spec"]["template"]

    def places(self):
        """Everything stands in the release's namespace, or in one that was named, or in none."""
        named = {"stella-operator-registry-secrets"}
        for item in self.objects:
            meta = item["metadata"]
            if item["kind"] in CLUSTER_WIDE:
                self.expect("namespace" not in meta, item, "has a namespace")
            elif meta["name"] not in named:
                self.expect(meta.get("namespace") == self.namespace, item, "is not in the release's namespace")

    def rights(self):
        for item in self.of("ClusterRole", "Role"):
            for rule in item["rules"]:
                names = rule.get("resourceNames")
                self.expect(not DANGEROUS & {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}, item, f"{rule}")
                if item["kind"] == "ClusterRole":
                    self.expect("secrets" not in rule["resources"], item, "Secrets of the whole cluster")
                elif "secrets" in rule["resources"]:
                    here = item["metadata"]["namespace"] == self.namespace
                    self.expect(names or not here, item, "all Secrets of the release's namespace")
                    self.expect("create" not in rule["verbs"], item, "creates Secrets")
                if "validatingwebhookconfigurations" in rule["resources"]:
                    self.expect(names == ["stella-webhook", "stella-webhook-fail"], item, "other configurations")
        for role in self.of("ClusterRole"):
            if role["metadata"]["name"] in CLUSTER_RIGHTS:
                given = {
                    (group, resource, verb)
                    for rule in role["rules"]
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                }
                more = given - CLUSTER_RIGHTS[role["metadata"]["name"]]
                self.expect(not more, role, f"more rights than agreed: {sorted(more)}")
        accounts = {item["metadata"]["name"] for item in self.of("ServiceAccount")}
        roles = {(item["kind"], item["metadata"]["name"]) for item in self.of("ClusterRole", "Role")}
        for binding in self.of("ClusterRoleBinding", "RoleBinding"):
            reference = binding["roleRef"]
            self.expect((reference["kind"], reference["name"]) in roles, binding, "binds a role that is not there")
            for subject in binding["subjects"]:
                self.expect(subject["name"] in accounts, binding, "binds an account that is not there")
                self.expect(subject["name"] != "stella-zastava", binding, "gives the agent rights")

    def security(self):
        for item, template in self.pods():
            spec, agent = template["spec"], item["metadata"]["name"] == "stella-zastava"
            pod = spec["securityContext"]
            self.expect(pod["seccompProfile"] == {"type": "RuntimeDefault"}, item, "seccomp")
            self.expect(agent or pod["runAsNonRoot"] is True, item, "may run as root")
            self.expect(not spec.get("hostNetwork") and not spec.get("hostIPC"), item, "host namespaces")
            self.expect(spec.get("hostPID", False) == agent, item, "hostPID")
            self.expect(spec["automountServiceAccountToken"] != agent, item, "token for the API server")
            for container in spec["containers"]:
                context = container["securityContext"]
                added = context["capabilities"].get("add", [])
                self.expect(context["capabilities"]["drop"] == ["ALL"], item, "keeps capabilities")
                self.expect(added == (["BPF", "PERFMON", "SYS_PTRACE"] if agent else []), item, f"adds {added}")
                self.expect(context["allowPrivilegeEscalation"] is False, item, "may gain privileges")
                self.expect(context["readOnlyRootFilesystem"] is True, item, "may write to its image")
                self.expect(not context.get("privileged"), item, "privileged")
            paths = [volume for volume in spec["volumes"] if "hostPath" in volume]
            self.expect(agent or all(volume["name"] == "feeds" for volume in paths), item, "folders of the node")

    def volumes(self):
        for item, template in self.pods():
            declared = [volume["name"] for volume in template["spec"]["volumes"]]
            mounted = {mount["name"] for part in template["spec"]["containers"] for mount in part["volumeMounts"]}
            self.expect(len(declared) == len(set(declared)), item, "two volumes of one name")
            self.expect(set(declared) == mounted, item, f"volumes and mounts differ: {set(declared) ^ mounted}")

    def selectors(self):
        labels = {item["metadata"]["name"]: template["metadata"]["labels"] for item, template in self.pods()}
        ports = {
            item["metadata"]["name"]: {port["name"] for part in template["spec"]["containers"] for port in part["ports"]}
            for item, template in self.pods()
        }
        for item in self.of("Deployment", "DaemonSet", "Service", "PodDisruptionBudget", "NetworkPolicy"):
            spec, name = item["spec"], item["metadata"]["name"]
            selector = spec.get("selector") or spec.get("podSelector")
            selector = selector.get("matchLabels", selector)
            matched = [name for name, found in labels.items() if selector.items() <= found.items()]
            self.expect(matched == [name], item, f"selects {matched}")
            if item["kind"] == "Service":
                targets = {port["targetPort"] for port in spec["ports"]}
                self.expect(targets <= ports[name], item, "a port the pods lack")

    def admission(self):
        found = self.of("ValidatingWebhookConfiguration")
        choices = {}
        for item in found:
            for webhook in item["webhooks"]:
                expressions = {e["key"]: (e["operator"], e["values"]) for e in webhook["namespaceSelector"]["matchExpressions"]}
                operator, names = expressions["kubernetes.io/metadata.name"]
                exempt = operator == "NotIn" and {"kube-system", self.namespace} <= set(names)
                self.expect(exempt, item, "asks about the cluster's namespace or our own")
                choices[webhook["failurePolicy"]] = expressions["stella-ops.org/failure-policy"]
                self.expect("caBundle" not in webhook["clientConfig"], item, "has a caBundle")
                self.expect(webhook["sideEffects"] == "NoneOnDryRun", item, "sideEffects")
                for rule in webhook["rules"]:
                    self.expect(set(rule["operations"]) == OPEN_TO_ALL, item, "operations")
        if found:
            once = {"Fail": ("In", ["Fail"]), "Ignore": ("NotIn", ["Fail"])}
            self.expect(choices == once, found[0], f"a request is asked about twice or never: {choices}")

    def secrets(self):
        for item in self.of("Secret"):
            self.expect(not {"data", "stringData"} & item.keys(), item, "has data")

    def all(self):
        for check in (self.places, self.rights, self.security, self.volumes, self.selectors, self.admission, self.secrets):
            check()
        return self.wrong


def main(namespace, *files):
    wrong = []
    for file in files:
        with open(file, encoding="utf-8") as text:
            objects = [item for item in yaml.safe_load_all(text) if item]
        keys = [(i["apiVersion"], i["kind"], i["metadata"].get("namespace"), i["metadata"]["name"]) for i in objects]
        if len(keys) != len(set(keys)):
            wrong.append(f"{file}: the same object twice")
        wrong += [f"{file}: {text}" for text in Check(namespace, objects).all()]
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(bool(wrong))


main(*sys.argv[1:])
