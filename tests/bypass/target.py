"""The cluster and the webhook that are tried, by way of kubectl."""

import http.client
import json
import re
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from suite import ADMITTED, REFUSED, REJECTED, WARNED, Answer, Skipped

ORDINARY = "bypass-user"
CONTROLLER = "system:serviceaccount:kube-system:replicaset-controller"
BY_WEBHOOK = re.compile(r"admission webhook .* denied the request|ValidatingAdmissionPolicy .* denied request")
# An API server that warns that something is old is not the webhook.
FOREIGN_WARNING = re.compile(r"Warning: (?!.*(stella|image)).*", re.IGNORECASE)


class Target:
    """What `target.json` names, and requests to it."""

    def __init__(self, description):
        self.told = description
        self.number = 0
        self.namespace = f"bypass-{int(time.time()) % 100000}"

    def has(self, need):
        return bool(self.told.get(need))

    def get(self, name):
        value = self.told.get(name)
        if not value:
            raise Skipped(f"the target has no {name}")
        return value

    @property
    def refused(self):
        return self.told["refused"]

    @property
    def passing(self):
        return self.told["passing"]

    def name(self, prefix="try"):
        self.number += 1
        return f"{prefix}-{self.number}"

    # --- objects ---------------------------------------------------------------------------------------------------

    def spec(self, image=None, **fields):
        container = {"name": "app", "image": image or self.passing}
        return {"containers": [container], "terminationGracePeriodSeconds": 0, **fields}

    def pod(self, image=None, metadata=None, **fields):
        data = {"name": self.name(), "namespace": self.namespace, **(metadata or {})}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": data, "spec": self.spec(image, **fields)}

    def template(self, image, **fields):
        return {"metadata": {"labels": {"app": "bypass"}}, "spec": self.spec(image, **fields)}

    def workload(self, api, kind, spec):
        return {"apiVersion": api, "kind": kind, "metadata": {"name": self.name(), "namespace": self.namespace}, "spec": spec}

    def deployment(self, image, replicas=0, **fields):
        selector = {"matchLabels": {"app": "bypass"}}
        return self.workload(
            "apps/v1", "Deployment", {"replicas": replicas, "selector": selector, "template": self.template(image, **fields)}
        )

    # --- requests --------------------------------------------------------------------------------------------------

    def kubectl(self, *words, give=None, user=None, groups=()):
        command = ["kubectl", *words]
        if user:
            command += ["--as", user]
            for group in groups:
                command += ["--as-group", group]
        text = give if give is None or isinstance(give, str) else json.dumps(give)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=90)
        return done.returncode, done.stdout, done.stderr

    def ask(self, *words, **how):
        """A request whose answer is what is tested."""
        code, out, err = self.kubectl(*words, **how)
        text = (out + err).strip()
        if code:
            return Answer(REFUSED if BY_WEBHOOK.search(text) else REJECTED, text)
        ours = [row for row in err.splitlines() if row.startswith("Warning:") and not FOREIGN_WARNING.fullmatch(row)]
        return Answer(WARNED if ours else ADMITTED, text)

    def must(self, *words, **how):
        code, out, err = self.kubectl(*words, **how)
        if code:
            raise RuntimeError(f"kubectl {' '.join(words)}: {err}")
        return out

    def create(self, thing, *words, **how):
        return self.ask("create", "-f", "-", *words, give=thing, **how)

    def raw(self, text):
        """Creates a pod from exactly these bytes."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        return self.ask("create", "--raw", path, "-f", "-", give=text)

    def made(self, thing):
        """Creates what has to be there, and gives it as KIND/NAME."""
        self.must("create", "-f", "-", give=thing)
        return f"{thing['kind'].lower()}/{thing['metadata']['name']}"

    def patch(self, what, change, *words, kind="strategic", **how):
        body = json.dumps(change)
        return self.ask("-n", self.namespace, "patch", what, "--type", kind, "--patch", body, *words, **how)

    def image_of(self, what, path="{.spec.containers[0].image}"):
        return self.must("-n", self.namespace, "get", what, "-o", f"jsonpath={path}")

    def label(self, namespace, labels):
        words = [f"{key}={value}" for key, value in labels.items()]
        self.must("label", "namespace", namespace, "--overwrite", *words)

    def until(self, what, holds, seconds=30):
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise RuntimeError(f"waited {seconds} s in vain: {what}")
            time.sleep(0.3)

    def refuses(self, image=None, namespace=None, **metadata):
        """What a dry run says about a pod."""
        thing = self.pod(image or self.refused, {"namespace": namespace or self.namespace, **metadata})
        return self.create(thing, "--dry-run=server")

    # --- namespaces ------------------------------------------------------------------------------------------------

    def new_namespace(self, name=None, labels=None):
        name = name or f"{self.namespace}-{self.name('ns')}"
        thing = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}
        self.must("create", "-f", "-", give=thing)
        return name

    def begin(self):
        """Makes the namespace that is enforced, and a user with every right in it but those over admission."""
        self.new_namespace(self.namespace, self.told.get("enforcing", {}))
        account = lambda: self.kubectl("-n", self.namespace, "get", "serviceaccount", "default")[0] == 0
        if self.told.get("controllers"):
            self.until("the default service account", account)
        # Not `*`: that would hold for the namespace's own object, and so for its labels.
        resources = ["pods", "pods/*", "replicationcontrollers", "deployments", "replicasets", "jobs", "cronjobs"]
        rule = {"apiGroups": ["", "apps", "batch"], "resources": resources, "verbs": ["*"]}
        kind = "rbac.authorization.k8s.io/v1"
        role = {"apiVersion": kind, "kind": "Role", "metadata": {"name": ORDINARY}, "rules": [rule]}
        subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name} for name in (ORDINARY, CONTROLLER)]
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ORDINARY}
        binding = {"apiVersion": kind, "kind": "RoleBinding", "metadata": {"name": ORDINARY}, "roleRef": reference, "subjects": subjects}
        for thing in (role, binding):
            self.must("-n", self.namespace, "create", "-f", "-", give=thing)
        self.until(f"the webhook refuses {self.refused}", lambda: self.refuses().refused())
        ok = self.refuses(self.passing)
        if ok.kind not in (ADMITTED, WARNED):
            raise RuntimeError(f"{self.passing} is not let in: {ok.text}")

    def end(self):
        code, out, _ = self.kubectl("get", "namespaces", "-o", "name")
        mine = [name for name in out.split() if self.namespace in name]
        if mine:
            self.kubectl("delete", *mine, "--wait=false")

    # --- the product's API -----------------------------------------------------------------------------------------

    def call(self, method, path, body=None, tenant=None):
        """Asks the product itself, for webhooks of ours; raises where it does not agree."""
        headers = {"Content-Type": "application/json", **({"X-Stella-Tenant": tenant} if tenant else {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.get("api") + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    # --- the port itself -------------------------------------------------------------------------------------------

    def post(self, body, path="/validate", pieces=None, wait=30):
        """Calls the webhook as its API server would. Gives the status and the body, or (0, reason)."""
        url = urllib.parse.urlsplit(self.get("webhook"))
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(url.hostname, url.port or 443, timeout=wait, context=context)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException, socket.timeout) as error:
            return 0, repr(error).encode()
        finally:
            connection.close()
