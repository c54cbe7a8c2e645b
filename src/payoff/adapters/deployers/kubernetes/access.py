"""Where a cluster is and how it knows us: a kubeconfig as kubectl reads it, or the account of the pod that we run in.

https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ and client-authentication.v1.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import json
import os
import ssl
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError

if TYPE_CHECKING:
    import yaml
else:
    yaml = lazy.Module("yaml")

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HERE = {"127.0.0.1", "::1", "localhost"}  # as `kubectl proxy` listens
_WAIT = 60.0  # seconds for a program that gives credentials


class Place(Protocol):
    """What options say of where a cluster is: as `Options` do."""

    @property
    def context(self) -> str:
        """The context's name; empty: the current one."""
        ...

    @property
    def kubeconfig(self) -> str:
        """A file; empty: where kubectl looks."""
        ...

    @property
    def namespace(self) -> str:
        """Empty: the context's."""
        ...


@dataclasses.dataclass(frozen=True)
class Access:
    """A cluster's address, how its certificate is checked, what is sent to say who asks, and the namespace that is ours unless another is named."""

    server: str
    namespace: str
    tls: ssl.SSLContext | None
    headers: dict[str, str]
    server_name: str = ""
    proxy: str = ""


def access(root: Path, options: Place) -> Access:
    """What the options name. Raises `UserError` when there is no such context, `OutsideError` when a program that should give credentials does not."""
    files = _files(root, options)
    if not files and _POD.is_dir() and not options.context:
        return _in_cluster(options)
    if not files:
        raise _wrong(
            "there is no kubeconfig", "a file ~/.kube/config, or KUBECONFIG, or kubeconfig in the deployment's section"
        )
    said: dict[str, dict[str, Any]] = {"contexts": {}, "clusters": {}, "users": {}}
    current = ""
    for file in files:
        document = _read(file)
        current = current or str(document.get("current-context") or "")
        for kind, known in said.items():
            for name, each in _named(document, kind, file):
                # Paths in a kubeconfig begin where it lies; what the first file says counts.
                known.setdefault(name, {**each, "": file.parent})
    name = options.context or current
    context = said["contexts"].get(name)
    if context is None:
        raise _wrong(f"{files[0]} has no context {name!r}", f"one of {', '.join(sorted(said['contexts'])) or 'none'}")
    cluster = said["clusters"].get(str(context.get("cluster")))
    if cluster is None or not cluster.get("server"):
        raise _wrong(f"the context {name!r} names no cluster that {files[0]} has", "a cluster with a server")
    user = said["users"].get(str(context.get("user")), {})
    return _made(cluster, user, options.namespace or str(context.get("namespace") or "default"))


def _files(root: Path, options: Place) -> list[Path]:
    if options.kubeconfig:
        return [root / Path(options.kubeconfig).expanduser()]
    named = [Path(each) for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    return [each for each in named or [Path.home() / ".kube" / "config"] if each.is_file()]


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise _wrong(f"{file} cannot be read", "a kubeconfig") from None
    except Exception:  # what a parser finds may quote credentials
        raise _wrong(f"{file} is no YAML", "a kubeconfig") from None
    if not isinstance(found, dict):
        raise _wrong(f"{file} is no kubeconfig", "a document with contexts, clusters and users")
    return found


def _named(document: dict[str, Any], kind: str, file: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        return [(str(each["name"]), dict(each.get(kind[:-1]) or {})) for each in document.get(kind) or []]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _wrong(f"{file} has {kind} that are none", "a list of them, each with its name") from None


def _made(cluster: dict[str, Any], user: dict[str, Any], namespace: str) -> Access:
    user = {**user, **(_asked(user["exec"], cluster, Path(user[""])) if user.get("exec") else {})}
    tls = None
    server = str(cluster["server"])
    if "@" in urlsplit(server).netloc:  # an address is told in errors
        raise _wrong(
            "the kubeconfig has a name or a password in the server's address", "username and password of a user"
        )
    if server.startswith("https://"):
        authority = _bytes(cluster, "certificate-authority")
        try:
            tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
            if cluster.get("insecure-skip-tls-verify"):
                raise _wrong(
                    f"the kubeconfig does not check the certificate of {server}",
                    "certificate-authority: what is deployed there could be anybody's",
                )
            certificate, key = _bytes(user, "client-certificate"), _bytes(user, "client-key")
            if certificate and key:
                _present(tls, certificate, key)
        except (ssl.SSLError, UnicodeDecodeError, ValueError):
            raise _wrong("a certificate or key in the kubeconfig is damaged", "PEM, as kubectl takes it") from None
    elif (urlsplit(server).hostname or "") not in _HERE:
        raise _wrong(f"the kubeconfig sends what says who we are unencrypted to {server}", "a server at https://")
    return Access(
        server=server.rstrip("/"),
        namespace=namespace,
        tls=tls,
        headers=_headers(user),
        server_name=str(cluster.get("tls-server-name") or ""),
        proxy=_proxy(server, str(cluster.get("proxy-url") or "")),
    )


def _proxy(server: str, said: str) -> str:
    """The way there: the kubeconfig's, or what the environment has for all programs (HTTPS_PROXY, NO_PROXY)."""
    at = urlsplit(server)
    if not said and not urllib.request.proxy_bypass(at.hostname or ""):
        said = urllib.request.getproxies().get(at.scheme, "")
    if said and not said.startswith(("http://", "https://")):
        raise _wrong(
            "the way to the cluster leads over a proxy that is none of HTTP's",
            "proxy-url (or HTTPS_PROXY) with http:// or https://",
        )
    return said


def _headers(user: dict[str, Any]) -> dict[str, str]:
    token = str(user.get("token") or "").strip()
    if not token and user.get("tokenFile"):
        token = _file(user, "tokenFile").decode(errors="replace").strip()
    if not (token.isascii() and token.isprintable()):
        raise _wrong("the kubeconfig's token is damaged", "one line of letters and digits")
    more = sorted(set(user) & {"as-groups", "as-uid", "as-user-extra"})
    if more:  # else we would act as somebody who may more
        raise _wrong(f"the kubeconfig asks to act as another ({more[0]}), which only as: NAME can say here", "as")
    headers = {"Impersonate-User": str(user["as"])} if user.get("as") else {}
    if token:
        return {**headers, "Authorization": f"Bearer {token}"}
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return {**headers, "Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return headers


def _bytes(section: dict[str, Any], key: str) -> bytes:
    """What a key says, in itself or in the file that it names; empty when neither is there."""
    if section.get(f"{key}-data"):
        try:
            return base64.b64decode(section[f"{key}-data"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise _wrong(f"{key}-data in the kubeconfig is not base64", "PEM in base64") from None
    return _file(section, key) if section.get(key) else b""


def _file(section: dict[str, Any], key: str) -> bytes:
    file = Path(section.get("", ".")) / str(section[key])
    try:
        return file.read_bytes()
    except OSError:
        raise _wrong(f"{file}, which the kubeconfig names as {key}, cannot be read", "the file") from None


def _present(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Python reads keys from files only: one that only we can read, for as long as it takes."""
    file, name = tempfile.mkstemp(suffix=".pem")
    try:
        with open(file, "wb") as stream:
            stream.write(certificate.rstrip() + b"\n" + key)
        tls.load_cert_chain(name)
    finally:
        Path(name).unlink()


def _asked(said: dict[str, Any], cluster: dict[str, Any], beside: Path) -> dict[str, Any]:
    """What a program of the cloud's gives to say who we are, in the words of a kubeconfig."""
    version = str(said.get("apiVersion") or "client.authentication.k8s.io/v1")
    about = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    if said.get("provideClusterInfo"):
        known = {key: value for key, value in cluster.items() if key in {"server", "certificate-authority-data"}}
        about["spec"] = {"interactive": False, "cluster": known}
    variables = {str(each["name"]): str(each["value"]) for each in said.get("env") or []}
    environment = {**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(about)}
    command = str(said.get("command"))
    if os.sep in command:  # a name is looked for on the PATH, a path begins where the kubeconfig lies
        command = os.fspath(beside.absolute() / command)
    try:
        done = subprocess.run(
            [command, *map(str, said.get("args") or [])],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            env=environment,
            timeout=_WAIT,
        )
        status = json.loads(done.stdout)["status"] if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        status = None
    if not isinstance(status, dict):
        raise OutsideError(
            f"{command}, which the kubeconfig names, gives no credentials",
            code="PO-A143",
            expected="an ExecCredential on its standard output",
            remedy=f"log in to the cloud that {command} belongs to, and try kubectl get pods",
        )
    found: dict[str, Any] = {"token": status.get("token")}
    for ours, theirs in {"client-certificate": "clientCertificateData", "client-key": "clientKeyData"}.items():
        if status.get(theirs):
            found[f"{ours}-data"] = base64.b64encode(str(status[theirs]).encode())
    return found


def _in_cluster(options: Place) -> Access:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    with contextlib.suppress(OSError):
        token = (_POD / "token").read_text().strip() if host else ""
        if not token:
            raise _wrong("this pod does not know where its cluster is", "KUBERNETES_SERVICE_HOST, or a kubeconfig")
        return Access(
            server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
            namespace=options.namespace or (_POD / "namespace").read_text().strip(),
            tls=ssl.create_default_context(cafile=os.fspath(_POD / "ca.crt")),
            headers={"Authorization": f"Bearer {token}"},
        )
    raise _wrong("this pod has no account of its own", "automountServiceAccountToken, or a kubeconfig")


def _wrong(what: str, expected: str) -> UserError:
    return UserError(
        what,
        code="PO-A142",
        expected=expected,
        remedy="kubectl config get-contexts shows what there is; context and kubeconfig in the deployment's section name one",
    )
