"""What of a Kubernetes API server the deployer talks to, for tests where no cluster is: objects of one namespace, server-side apply with managed fields
as the documentation describes them (merging by the keys of lists, ownership, dry runs), and a stand-in for controllers and nodes that says what
the test wants of pods. Manifests are checked against the strict schemas of the package kubernetes-validate, as `fieldValidation=Strict` does.

It is not Kubernetes: what is tried with it is our side of the conversation.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

# The keys of lists whose elements are merged (x-kubernetes-list-map-keys of the API); other lists are replaced whole.
KEYS = {
    "containers": ("name",), "initContainers": ("name",), "ports": ("containerPort", "protocol"), "env": ("name",), "volumeMounts": ("mountPath",), "volumes": ("name",),
    "imagePullSecrets": ("name",), "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}  # fmt: skip
SERVICE_PORTS = ("port", "protocol")
ATOMIC = {"selector", "podSelector", "labelSelector", "ingress", "metrics"}
VERSION = "1.36"


def keys_of(name: str, value: list[Any]) -> tuple[str, ...]:
    if name == "ports" and value and "port" in value[0]:
        return SERVICE_PORTS
    return KEYS.get(name, ())


def fields(value: Any, name: str = "") -> dict[str, Any]:
    """FieldsV1 of an applied configuration."""
    if isinstance(value, dict) and name not in ATOMIC:
        return {f"f:{key}": fields(below, key) for key, below in value.items()}
    if isinstance(value, list) and (keys := keys_of(name, value)):
        return {
            "k:" + json.dumps({key: each[key] for key in keys if key in each}, separators=(",", ":")): {".": {}, **fields(each)} for each in value
        }
    return {}


def merged(live: Any, applied: Any, name: str = "") -> Any:
    """The live object with the fields of an applied configuration."""
    if isinstance(live, dict) and isinstance(applied, dict) and name not in ATOMIC:
        return {**live, **{key: merged(live.get(key), value, key) for key, value in applied.items()}}
    if isinstance(live, list) and isinstance(applied, list) and (keys := keys_of(name, applied)):
        found = list(live)
        for each in applied:
            at = next((n for n, old in enumerate(found) if all(old.get(key) == each.get(key) for key in keys)), None)
            if at is None:
                found.append(each)
            else:
                found[at] = merged(found[at], each)
        return found
    return copy.deepcopy(applied)


def kept_by_others(now: dict[str, Any], managed: list[dict[str, Any]], manager: str) -> dict[str, Any]:
    """What stays when an owner gives up what it does not apply any more: what it applies, and what another applied."""
    found = copy.deepcopy(now)

    def join(one: dict[str, Any], other: dict[str, Any]) -> None:
        for key, below in other.items():
            join(one.setdefault(key, {}), below)

    for each in managed:
        if each["operation"] == "Apply" and each["manager"] != manager:
            join(found, each["fieldsV1"])
    return found


def without(live: Any, gone: dict[str, Any], kept: dict[str, Any]) -> Any:
    """The live object without the fields that an owner had and has no more."""
    for key, below in gone.items():
        if key == ".":
            continue
        if key.startswith("f:") and isinstance(live, dict) and key[2:] in live:
            if key not in kept and (not below or not isinstance(live[key[2:]], (dict, list)) or set(below) == {"."}):
                del live[key[2:]]
            else:
                live[key[2:]] = without(live[key[2:]], below, kept.get(key, {}))
                if key not in kept and not live[key[2:]]:
                    del live[key[2:]]
        elif key.startswith("k:") and isinstance(live, list):
            wanted = json.loads(key[2:])
            for each in [each for each in live if all(each.get(name) == said for name, said in wanted.items())]:
                if key in kept:
                    without(each, below, kept[key])
                else:
                    live.remove(each)
    return live


@functools.cache
def fault_of(applied: str) -> str:
    try:
        kubernetes_validate.validate(json.loads(applied), VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return ""


class Cluster:
    """One namespace. `pods` is called for a Deployment or InferenceService, and answers what nodes say of its pods; `status` what controllers say."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[tuple[int, str]] = []  # statuses to answer with before anything else
        self.headers: dict[str, str] = {}
        self.refused: set[tuple[str, str]] = set()  # what the account may not: method (DRY is a patch's dry run) and plural
        self.token = "right"
        self.known = {"deployments", "services", "networkpolicies", "horizontalpodautoscalers", "poddisruptionbudgets", "inferenceservices", "httproutes"}
        self.broken: set[str] = set()  # digests that do not start
        self.logs = "the model cannot be opened"
        self.gateway = "True"  # what it says of routes
        self.servers: dict[str, str] = {}  # pod -> its figures
        self.hangs: set[str] = set()  # pods that never answer
        self.restarts: dict[str, int] = {}
        self.server_token = ""
        self.stale: list[dict[str, Any]] = []  # pods besides those of the present template
        self.fills: Any = lambda live: None  # what a policy of the cluster changes in what is written
        self.count = 0
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, document = cluster.answer(self.command, self.path, body, dict(self.headers))
                content = document.encode() if isinstance(document, str) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                for name, value in cluster.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PATCH = do_DELETE = answer

            def log_message(self, *_words: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        self.requests.append((method, path))
        if headers.get("Authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized")
        if self.faults:
            return status(*self.faults.pop(0))
        split = urlsplit(path)
        query = {key: value[0] for key, value in parse_qs(split.query).items()}
        match = re.fullmatch(r"/(?:api|apis)/(?:[\w.]+/)?\w+/namespaces/([\w-]+)/(\w+)(?:/([\w.:-]+))?(/log|/proxy/metrics)?", split.path)
        if match is None:
            return status(404, "the server could not find the requested resource")
        namespace, plural, name, log = match.groups()
        if log == "/proxy/metrics":
            return self.figures(name, headers)
        if plural == "pods" and ("GET", "pods") in self.refused:
            return status(403, "pods is forbidden")
        if plural == "pods":
            return (200, self.logs if query["previous"] == "false" else "") if log else (200, {"items": self.pods(query["labelSelector"])})
        if plural not in self.known:
            return status(404, "the server could not find the requested resource")
        key = (plural, name)
        if ("DRY" if "dryRun" in query else method, plural) in self.refused:
            return status(403, f"{plural} is forbidden")
        if method == "PATCH" and headers["Content-Type"] == "application/json-patch+json":
            return self.patch(key, json.loads(body), dry="dryRun" in query)
        if method == "PATCH":
            return self.apply(key, namespace, json.loads(body), query, headers)
        live = self.objects.get(key)
        if live is None:
            return status(404, f'{plural} "{name}" not found')
        if method == "DELETE":
            del self.objects[key]
            return 200, {"kind": "Status", "status": "Success"}
        return 200, self.with_status(live)

    def apply(self, key: tuple[str, str], namespace: str, applied: dict[str, Any], query: dict[str, str], headers: dict[str, str]) -> tuple[int, Any]:
        assert headers["Content-Type"] == "application/apply-patch+yaml"
        assert query["fieldValidation"] == "Strict"
        assert applied["metadata"]["namespace"] == namespace
        assert "managedFields" not in applied["metadata"]
        there, uid = self.objects.get(key), applied["metadata"].pop("uid", None)
        if there is not None and "force" not in query:
            return status(409, "Apply failed with 1 conflict")
        if uid is not None and (there is None or there["metadata"]["uid"] != uid):
            return status(409, "uid mismatch")
        whole = query["fieldManager"] == "payoff"
        if applied["kind"] not in {"InferenceService", "HTTPRoute"} and whole:
            fault = fault_of(json.dumps(applied))
            if fault:
                return status(400, f"strict decoding error: {fault}")
        live = copy.deepcopy(self.objects.get(key)) or {
            "apiVersion": applied["apiVersion"], "kind": applied["kind"],
            "metadata": {"name": key[1], "namespace": namespace, "uid": str(len(self.requests)), "generation": 0, "creationTimestamp": "2026-01-01T00:00:00Z"},
        }  # fmt: skip
        manager = query["fieldManager"]
        managed = live["metadata"].pop("managedFields", [])
        before = next((each["fieldsV1"] for each in managed if each["manager"] == manager and each["operation"] == "Apply"), {})
        said = {key: value for key, value in applied.items() if key not in {"apiVersion", "kind"}}
        said["metadata"] = {key: value for key, value in applied["metadata"].items() if key not in {"name", "namespace"}}
        now = fields(said)
        was = copy.deepcopy(live)
        without(live, before, kept_by_others(now, managed, manager))
        live = defaulted(merged(live, said))
        self.fills(live)
        if live.get("spec") != was.get("spec"):
            live["metadata"]["generation"] += 1
        others = [each for each in managed if not (each["manager"] == manager and each["operation"] == "Apply")]
        live["metadata"]["managedFields"] = [*others, {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": now}]
        live["metadata"]["resourceVersion"] = str(len(self.requests))
        created = key not in self.objects
        if "dryRun" not in query:
            self.objects[key] = live
        return 201 if created else 200, live

    def patch(self, key: tuple[str, str], operations: list[dict[str, Any]], *, dry: bool) -> tuple[int, Any]:
        live = copy.deepcopy(self.objects[key])
        for each in operations:
            *way, last = (part.replace("~1", "/").replace("~0", "~") for part in each["path"].split("/")[1:])
            at: Any = live
            for part in way:
                at = at[int(part)] if isinstance(at, list) else at[part]
            place = int(last) if isinstance(at, list) else last
            if each["op"] == "test":
                if at[place] != each["value"]:
                    return status(422, "testing value failed")
            else:
                assert each["op"] == "remove"
                del at[place]
                if isinstance(at, list) and not at and way[-1] == "initContainers":
                    del live["spec"]["template"]["spec"]["initContainers"]
        live = defaulted(live)
        self.fills(live)
        if live["spec"] != self.objects[key]["spec"]:
            live["metadata"]["generation"] += 1
        if not dry:
            self.objects[key] = live
        return 200, live

    def edit(self, key: tuple[str, str], change: Any) -> None:
        """As somebody does by hand with `kubectl edit`."""
        live = self.objects[key]
        change(live)
        live["metadata"]["generation"] += 1

    # -- what nodes and controllers say

    def pods(self, selector: str) -> list[dict[str, Any]]:
        wanted = dict(each.split("=") for each in selector.split(","))
        found = []
        for (plural, name), live in self.objects.items():
            if plural == "deployments":
                template, copies = live["spec"]["template"], live["spec"].get("replicas", 1)
                labels, spec = template["metadata"]["labels"], template["spec"]
            elif plural == "inferenceservices":
                spec, copies = live["spec"]["predictor"], live["spec"]["predictor"]["minReplicas"]
                labels = {"serving.kserve.io/inferenceservice": name}
            else:
                continue
            if all(labels.get(key) == value for key, value in wanted.items()):
                found += [self.pod(f"{name}-{n}", next(each for each in spec["containers"] if each["name"] in {"model", "kserve-container"})) for n in range(copies)]
        return found + self.stale

    def figures(self, name: str, headers: dict[str, str]) -> tuple[int, Any]:
        """A pod's own, as the API passes them on: without who asked."""
        pod, _, port = name.partition(":")
        if pod in self.hangs:
            time.sleep(1)
        assert port == "8080"
        if headers.get("X-Payoff-Token", "") != self.server_token:
            return 401, "there is no token, or another"
        return (200, self.servers[pod]) if pod in self.servers else (503, "no route to host")

    def pod(self, name: str, container: dict[str, Any]) -> dict[str, Any]:
        image = container["image"]
        ok = image.rpartition("@")[2] not in self.broken
        state = {"running": {}} if ok else {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
        last = {} if ok else {"terminated": {"exitCode": 1, "reason": "Error"}}
        said = {"name": container["name"], "image": image, "imageID": image, "ready": ok, "state": state, "lastState": last, "containerID": f"{name}/{self.restarts.get(name, 0)}"}
        about = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
        return {"metadata": about, "spec": {"containers": [container]}, "status": {"phase": "Running", "containerStatuses": [said]}}

    def with_status(self, live: dict[str, Any]) -> dict[str, Any]:
        found = copy.deepcopy(live)
        if live["kind"] == "HTTPRoute" and self.gateway:
            said = [{"type": each, "status": self.gateway, "reason": "NotAllowed", "message": "by its listeners", "observedGeneration": live["metadata"]["generation"]} for each in ("Accepted", "ResolvedRefs")]
            found["status"] = {"parents": [{"conditions": said}]}
        if live["kind"] not in {"Deployment", "InferenceService"}:
            return found
        spec = live["spec"]["predictor"] if live["kind"] == "InferenceService" else live["spec"]["template"]["spec"]
        ok = spec["containers"][0]["image"].rpartition("@")[2] not in self.broken
        copies = live["spec"].get("replicas", 1)
        found["status"] = {"observedGeneration": live["metadata"]["generation"], "conditions": [{"type": "Ready", "status": str(ok)}], "url": "http://churn.example.org"}
        if ok:
            found["status"] |= {"replicas": copies, "updatedReplicas": copies, "availableReplicas": copies}
        else:
            found["status"] |= {"replicas": copies + 1, "updatedReplicas": 1, "availableReplicas": copies}
        return found


def defaulted(live: dict[str, Any]) -> dict[str, Any]:
    """Some of what a cluster fills in, owned by nobody."""
    if live["kind"] == "Deployment":
        live["spec"].setdefault("replicas", 1)
        live["spec"]["template"]["spec"].setdefault("dnsPolicy", "ClusterFirst")
        live["spec"]["template"]["spec"]["containers"][0].setdefault("terminationMessagePath", "/dev/termination-log")
    if live["kind"] == "Service":
        live["spec"].setdefault("clusterIP", "10.0.0.7")
    return live


def status(code: int, message: str) -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
