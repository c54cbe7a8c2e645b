"""The cluster's API: get, server-side apply, delete. https://kubernetes.io/docs/reference/using-api/server-side-apply/."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import urllib3

    from payoff.adapters.deployers.kubernetes.access import Access
else:
    urllib3 = lazy.Module("urllib3")

# Who owns the fields that we set. Never changes: fields of another owner would stay as they are.
MANAGER = "payoff"
PLURALS = {
    "Deployment": "deployments",
    "Service": "services",
    "NetworkPolicy": "networkpolicies",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "InferenceService": "inferenceservices",
    "HTTPRoute": "httproutes",
    "Pod": "pods",
}
VERSIONS = {
    "Deployment": "apps/v1",
    "Service": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "InferenceService": "serving.kserve.io/v1beta1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "Pod": "v1",
}
# A conflict (409) is one of two writers at once: the next try sees what the other wrote.
_TRIES, _AGAIN = 4, {409, 429, 500, 502, 503, 504}
_PAUSE = 20.0  # seconds that a cluster may ask us to wait before a try
_LONGEST = 300  # letters of what a cluster says
_READ = 60.0  # seconds for an answer
_FIGURES = 1 << 20  # bytes of a server's figures
_FIGURES_WAIT = 10.0  # seconds for them: it has them at hand, and there are others to be asked
_WORDS = 2000  # letters of what a pod says


def printable(text: str) -> str:
    """What others say, without what a terminal would take for a command."""
    return "".join(each for each in text if each.isprintable() or each in "\n\t").strip()


def _asked_for(answer: Any) -> float:
    """Seconds for which a cluster that has too much to do asks us to wait."""
    said = str(answer.headers.get("Retry-After") or "")
    return float(said) if said.isdigit() else 0.0


def _over(proxy: str, words: dict[str, Any]) -> Any:
    """Connections over a proxy; a name and a password in its address are for it alone."""
    account = urlsplit(proxy)
    if account.username is None:
        return urllib3.ProxyManager(proxy, **words)
    pair = f"{unquote(account.username)}:{unquote(account.password or '')}"
    asked = urllib3.make_headers(proxy_basic_auth=pair)
    return urllib3.ProxyManager(
        proxy.replace(f"{account.netloc.rpartition('@')[0]}@", "", 1), proxy_headers=asked, **words
    )


class Api:
    """One namespace of a cluster. What goes through the network is tried again: every request here may come twice."""

    def __init__(self, found: Callable[[], Access]) -> None:
        self._found = found
        self._access: Access | None = None
        self._pool: Any = None

    @property
    def namespace(self) -> str:
        """Ours."""
        return self._reached().namespace

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object as the cluster has it; None when there is none, or no such kind."""
        return self._asked("GET", self._path(kind, name), absent=True)

    def apply(
        self,
        manifest: dict[str, Any],
        over: dict[str, Any] | None = None,
        *,
        dry: bool = False,
        manager: str = MANAGER,
    ) -> dict[str, Any]:
        """Server-side apply: our fields become as they are here, those of others stay; fields that we had and that are not here go. `dry`: what it would be.

        `over` is the object that was looked at: another that has its name by now is left alone, as is one that came where there was none.
        """
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        if over is not None:
            query["force"] = "true"
            known = {"uid": over["metadata"]["uid"]} if "uid" in over["metadata"] else {}
            manifest = {**manifest, "metadata": {**manifest["metadata"], **known}}
        # JSON is YAML: the media type takes both.
        return self._patched(manifest, query, manifest, "application/apply-patch+yaml", dry=dry)

    def patch(self, live: dict[str, Any], operations: list[dict[str, Any]], *, dry: bool = False) -> dict[str, Any]:
        """A JSON patch (RFC 6902) of an object. `dry`: what it would be."""
        return self._patched(live, {"fieldManager": MANAGER}, operations, "application/json-patch+json", dry=dry)

    def _patched(
        self, named: dict[str, Any], query: dict[str, str], body: Any, kind: str, *, dry: bool
    ) -> dict[str, Any]:
        query = {**query, **({"dryRun": "All"} if dry else {})}
        path = f"{self._path(named['kind'], named['metadata']['name'])}?{urlencode(query)}"
        answer = self._asked("PATCH", path, json.dumps(body).encode(), kind)
        assert answer is not None  # noqa: S101 - only GET and DELETE take a 404 for an answer
        return answer

    def delete(self, kind: str, name: str) -> None:
        """Remove an object and what it owns; idempotent."""
        options = json.dumps({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"})
        self._asked("DELETE", self._path(kind, name), options.encode(), "application/json", absent=True)

    def pods(self, selector: str) -> list[dict[str, Any]]:
        """Those that labels select."""
        found = self._asked("GET", f"{self._path('Pod')}?{urlencode({'labelSelector': selector})}")
        return list((found or {}).get("items") or [])

    def log(self, pod: str, container: str, lines: int) -> str:
        """The last lines of a container, of its run before when that is all there is; empty when the cluster does not say."""
        for before in ("true", "false"):
            query = urlencode({"container": container, "tailLines": lines, "previous": before})
            try:
                answer = self._sent("GET", f"{self._path('Pod', pod)}/log?{query}", None, "")
            except OutsideError:
                return ""
            said = printable(answer.data.decode(errors="replace")) if answer.status == 200 else ""
            if said:
                return said[-_WORDS:]
        return ""

    def figures(self, pod: str, port: int, token: str) -> str | None:
        """A server's own figures; None when it does not answer now. The cluster keeps our `Authorization` to itself: the server's token goes beside it.

        Raises `UserError` when the cluster, or the server, does not let us.
        """
        path = f"{self._path('Pod')}/{quote(pod, safe='')}:{port}/proxy/metrics"
        more = {"X-Payoff-Token": token} if token else {}
        try:
            answer = self._sent("GET", path, None, "", {"Accept": "text/plain", **more}, tries=2, read=_FIGURES_WAIT)
        except OutsideError:  # it hangs; where the cluster does, the next request says so
            return None
        if (
            answer.status == 401 and b'"Status"' not in answer.data[:_FIGURES]
        ):  # the server's own word, not the cluster's
            raise UserError(
                f"the server in the pod {pod} does not tell its figures without its token",
                code="PO-A165",
                expected='token = "${SERVE_TOKEN}" in the section of the deployment\'s front, the one that its Secret has',
                remedy="export SERVE_TOKEN=..., and the same command again",
            )
        if answer.status in {401, 403}:
            raise self._refused(answer, "GET", path)
        return str(answer.data[:_FIGURES].decode(errors="replace")) if answer.status == 200 else None

    def _path(self, kind: str, name: str = "") -> str:
        version = VERSIONS[kind]
        start = f"/apis/{version}" if "/" in version else f"/api/{version}"
        path = f"{start}/namespaces/{quote(self.namespace, safe='')}/{PLURALS[kind]}"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _asked(
        self, method: str, path: str, body: bytes | None = None, kind: str = "", *, absent: bool = False
    ) -> dict[str, Any] | None:
        answer = self._sent(method, path, body, kind)
        if answer.status in {200, 201, 202}:
            try:
                return dict(json.loads(answer.data))
            except ValueError:
                raise self._failed("it answers with something that is no JSON") from None
        if answer.status == 404 and absent:
            return None
        raise self._refused(answer, method, path)

    def _sent(
        self,
        method: str,
        path: str,
        body: bytes | None,
        kind: str,
        more: Mapping[str, str] | None = None,
        *,
        tries: int = _TRIES,
        read: float = _READ,
    ) -> Any:
        told, timeout = False, urllib3.Timeout(connect=10, read=read)
        for attempt in range(tries):
            last = attempt == tries - 1
            found = self._reached()
            headers = {"Accept": "application/json", **({"Content-Type": kind} if kind else {})}
            headers |= {**(more or {}), **found.headers}
            try:
                answer = self._pool.request(
                    method, found.server + path, body=body, headers=headers, redirect=False, timeout=timeout
                )
            except urllib3.exceptions.HTTPError as error:
                if last:
                    raise self._failed(f"it cannot be reached ({type(error).__name__})") from None
                time.sleep(0.2 * 2**attempt)
                continue
            if answer.status == 401 and not told:
                told, self._access = True, None  # what a cloud gave us to say who we are holds for an hour
                continue
            if answer.status in _AGAIN and not last:
                time.sleep(min(_PAUSE, max(0.2 * 2**attempt, _asked_for(answer))))
                continue
            return answer
        return answer

    def _reached(self) -> Access:
        if self._access is None:
            self._access = found = self._found()
            words: dict[str, Any] = {"retries": False}
            if found.tls is not None:
                words["ssl_context"] = found.tls
                if found.server_name:
                    words |= {"server_hostname": found.server_name, "assert_hostname": found.server_name}
            self._pool = _over(found.proxy, words) if found.proxy else urllib3.PoolManager(**words)
        return self._access

    def _refused(self, answer: Any, method: str, path: str) -> UserError | OutsideError:
        try:
            said = json.loads(answer.data)
            words = str(said.get("message") or said.get("reason") or "")
        except (ValueError, AttributeError):
            words = ""
        words = printable(words)[:_LONGEST] or f"it answers with status {answer.status}"
        if answer.status in {401, 403}:
            return UserError(
                f"the cluster does not let us: {words}",
                code="PO-A144",
                expected="an account that may get, patch and delete what a deployment is made of, in its namespace (docs/kubernetes.md)",
                remedy=f"kubectl auth can-i --list --namespace {self.namespace}",
            )
        if answer.status in {400, 404, 415, 422}:
            return UserError(
                f"the cluster does not take it: {words}",
                code="PO-A145",
                expected="a namespace that is there, values as Kubernetes takes them, KServe where kserve = true, and the Gateway API for a front",
                remedy="payoff deploy --dry-run shows what is applied; correct the deployment's section",
            )
        return self._failed(f"{method} {path.partition('?')[0]}: {words}")

    def _failed(self, why: str) -> OutsideError:
        server = self._access.server if self._access else "the cluster"
        return OutsideError(
            f"{server} fails: {why}",
            code="PO-A146",
            expected="a Kubernetes API server that answers",
            remedy="kubectl get --raw /readyz, then the same command again",
        )
