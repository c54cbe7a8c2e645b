"""Two projects that ran once, made once for all test processes; tests take copies that share the installed environments.

`project` is the starter as `payoff init` makes it. `light` is the starter with a column of names that are personal, a model that needs
nothing but pyarrow, and no tracking: what a whole run costs there is Payoff's own, so that many can be afforded.
"""

from __future__ import annotations

import base64
import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAYOFF = str(Path(sys.executable).with_name("payoff"))
SECRET = "geheim"  # part of every value of the personal column, and of the wrong values that tests put elsewhere
ENVIRONMENTS = Path(".payoff", "environments")
UNPACKED = Path(".payoff", "unpacked")  # of a project with releases: the first one's image, as a deployment of kind process has it

PIPELINE = '''\
"""A model whose figures were fitted elsewhere."""

import math

import pyarrow as pa

from payoff import step


class Fitted:
    classes_ = [False, True]

    def __init__(self, slope):
        self.slope = slope

    def predict_proba(self, rows):
        columns = (rows.column(name).to_pylist() for name in ("calls_to_support", "late_payments", "tenure"))
        chances = [1 / (1 + math.exp(3.4 - self.slope * c - 0.7 * l + 0.012 * t)) for c, l, t in zip(*columns)]
        return [[1 - chance, chance] for chance in chances]


@step
def rates(train: pa.Table) -> pa.Table:
    return train.group_by("calls_to_support").aggregate([("churned", "count")])


@step(seed=7)
def model(train: pa.Table, rates: pa.Table, *, slope: float = 0.35):
    assert rates.num_rows > 1
    return Fitted(slope)
'''


_spec = importlib.util.spec_from_file_location("flows_warm", Path(__file__).with_name("warm.py"))
assert _spec is not None
assert _spec.loader is not None
warm = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(warm)


def payoff(*words: str, at: Path, code: int | None = 0, fresh: bool = False) -> subprocess.CompletedProcess[str]:
    """A command as a user types it, in the project's folder; `fresh`: by an interpreter of its own (see `warm`)."""
    if fresh:
        done = subprocess.run([PAYOFF, *words], cwd=at, capture_output=True, text=True, timeout=240, check=False)
    else:
        done = warm.payoff([PAYOFF, *words], at, 240)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done


def once(tmp_path_factory: pytest.TempPathFactory, worker: str, name: str, make: Callable[[Path], None]) -> Path:
    """A folder made by the first test process that asks for it; the others wait."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker == "master" else base.parent
    folder = shared / "flows" / name
    folder.parent.mkdir(exist_ok=True)
    with open(shared / "flows" / f"{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".payoff/first.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            answer = json.loads(payoff("run", "--json", at=folder, fresh=True).stdout)
            assert answer["status"] == "passed", answer
            (folder / ".payoff/first.json").write_text(json.dumps(answer))
    return folder


def copy(made: Path, to: Path) -> Path:
    """A copy of a project; the installed environments, thousands of files that nobody writes to, are shared."""
    away = {str(made / each) for each in (ENVIRONMENTS, UNPACKED, ".venv")}
    ignore = lambda folder, names: [name for name in names if f"{folder}/{name}" in away]  # noqa: E731
    # Blobs of images and compiled modules are never written to, but replaced: copies have the same ones.
    shared = tuple(str(made / ".payoff" / each) for each in ("images/blobs", "base/blobs", "releasing/layers"))

    def one(source: str, target: str) -> None:
        if source.startswith(shared) and not source.endswith("layer.json"):
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    copied = Path(shutil.copytree(str(made), to, symlinks=True, ignore=ignore, copy_function=one))
    for each in (ENVIRONMENTS, UNPACKED):
        if (made / each).exists():
            (copied / each).symlink_to((made / each).resolve())
    return copied


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A starter project that ran once, in a folder with a space and letters beyond ASCII."""
    return once(tmp_path_factory, worker_id, "mein Prüfstand", lambda folder: init(folder))


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return copy(made, tmp_path / "copié")


@pytest.fixture(scope="session")
def made_light(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The light project, which ran once."""
    return once(tmp_path_factory, worker_id, "leichtes Stück", make_light)


@pytest.fixture
def light(made_light: Path, tmp_path: Path) -> Light:
    """A copy of it, with what tests do to it and ask of it."""
    return Light(copy(made_light, tmp_path / "ein Stück 数"))


@pytest.fixture(scope="session")
def made_twice(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The light project with two runs: all that can differ does in the second, which is of a working tree with changes."""
    return once(tmp_path_factory, worker_id, "zweimal", make_twice)


@pytest.fixture
def twice(made_twice: Path, tmp_path: Path) -> Light:
    """A copy of it; `first` is what its second run answered."""
    return Light(copy(made_twice, tmp_path / "zwei Läufe"))


@pytest.fixture(scope="session")
def made_released(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The light project with people, keys, three deployments in a row and two releases of different models."""
    return once(tmp_path_factory, worker_id, "veröffentlicht", make_released)


@pytest.fixture
def released(made_released: Path, tmp_path: Path) -> Iterator[Released]:
    """A copy of it; nothing is deployed in it, and nothing that was is left running.

    It stays on the disk, where it is nearly all links: for minutes, ext4 looks at each number of a file that was deleted before it gives one to a new file.
    """
    found = Released(copy(made_released, tmp_path / "zur Auslieferung"))
    yield found
    found.end()


@pytest.fixture(scope="session")
def made_promoted(made_released: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The released project with its first release promoted as far as prod, verified everywhere; nothing runs."""
    return once(tmp_path_factory, worker_id, "befördert", lambda folder: promote(copy(made_released, folder)))


@pytest.fixture
def promoted(made_promoted: Path, tmp_path: Path) -> Iterator[Released]:
    """A copy of it."""
    found = Released(copy(made_promoted, tmp_path / "in Betrieb"))
    yield found
    found.end()


@pytest.fixture
def lights(made_light: Path, tmp_path: Path) -> Callable[[str], Light]:
    """As many copies as wanted."""
    return lambda name: Light(copy(made_light, tmp_path / f"Stück {name}"))


def init(folder: Path) -> None:
    payoff("init", str(folder), at=folder.parent)


def make_light(folder: Path) -> None:
    init(folder)
    (folder / "pipeline.py").write_text(PIPELINE)
    replace(folder / "pyproject.toml", '    "pandas>=2.2,<3",\n', "")
    replace(folder / "pyproject.toml", '    "scikit-learn>=1.5",\n', "")
    replace(folder / "sql/examples.sql", "churned\n", "churned, name\n")
    replace(folder / "contracts/customers.yaml", "      - { name: churned,", "      - { name: name, logicalType: string, required: true,"
            " classification: personal, logicalTypeOptions: { minLength: 3 } }\n      - { name: churned,")  # fmt: skip
    with open(folder / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write("\n[tracking]\nenabled = false\n")
    lines = (folder / "data/customers.csv").read_text().splitlines()
    named = [f"{line},{'name' if number == 0 else f'{SECRET}{number}'}" for number, line in enumerate(lines)]
    (folder / "data/customers.csv").write_text("\n".join(named) + "\n")
    shutil.rmtree(folder / ".venv", ignore_errors=True)
    subprocess.run([uv.find_uv_bin(), "lock", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "--quiet", "--all", "--message", "light"], cwd=folder, check=True)


def make_twice(folder: Path) -> None:
    make_light(folder)
    payoff("run", at=folder)
    replace(folder / "pipeline.py", "slope: float = 0.35", "slope: float = 0.55")
    replace(folder / "pipeline.py", "seed=7", "seed=8")
    replace(folder / "pipeline.py", "3.4 - self", "3.1 - self")
    replace(folder / "pipeline.py", '("churned", "count")', '("churned", "max")')
    text = (folder / "charter.toml").read_text()
    cost = next(line for line in text.splitlines() if line.startswith("run_per_year"))
    replace(folder / "charter.toml", cost, "run_per_year = 5000")
    Light(folder).more_customers()


RELEASING = """
[release]
python = "{python}"
[release.base]
path = ".payoff/base"
digest = "{digest}"
[signing]
releasers = ["ann@example.org"]
deployers = ["ann@example.org", "dora@example.org"]
[approvers]
owner = ["olga@example.org"]
engineer = ["ann@example.org", "olga@example.org"]
[deployments.dev]
kind = "process"
python = "{here}"
drain = 5
[deployments.test]
kind = "process"
python = "{here}"
drain = 5
after = "dev"
[deployments.prod]
kind = "process"
python = "{here}"
drain = 5
after = "test"
approvals = ["owner", "engineer"]
"""
PEOPLE = ("ann", "olga", "dora", "eve")  # eve's key is on no list


def make_released(folder: Path) -> None:
    from payoff.adapters.registries import layout
    from payoff.testing.releasing import foundation

    make_light(folder)
    keys = folder / ".payoff/keys"
    keys.mkdir(parents=True)
    for name in PEOPLE:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(keys / name)], check=True)
    (folder / "deploy").mkdir()
    known = [f"{name}@example.org {(keys / f'{name}.pub').read_text()}" for name in PEOPLE[:-1]]
    (folder / "deploy/allowed_signers").write_text("".join(known))
    _, digest = foundation.put_base(layout.connect(folder, layout.Options(".payoff/base")))
    with open(folder / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(RELEASING.format(python=foundation.PYTHON, digest=digest, here=sys.executable))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Who may do what")
    git(folder, "config", "user.signingkey", ".payoff/keys/ann")
    for slope in ("0.35", "0.36"):
        payoff("run", "-p", f"slope={slope}", at=folder)
        payoff("release", at=folder)
    unpack_first(folder)


def unpack_first(folder: Path) -> None:
    from payoff.adapters.deployers.process.unpacking import unpack
    from payoff.adapters.registries import layout
    from payoff.records.release.image import Blob

    payload = base64.b64decode(json.loads((folder / "deploy/releases/0001.json").read_bytes())["payload"])
    image = json.loads(payload)["predicate"]["image"]
    registry = layout.connect(folder, layout.Options())
    found = registry.manifest(image)
    assert found is not None
    layers = [Blob(media_type=each["mediaType"], digest=each["digest"], size=each["size"]) for each in json.loads(found[0])["layers"]]
    unpack(layers, registry, folder / UNPACKED / image.partition(":")[2][:16], lambda _: os.path.realpath(sys.executable))


def promote(folder: Path) -> None:
    made = Released(folder)
    made.to("prod")
    made.end()
    shutil.rmtree(folder / ".payoff/deployments")
    for each in (folder / ".payoff/releasing/layers").glob("*/compiled"):
        shutil.rmtree(each)  # thousands of modules, which only a release to another registry would ask for


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, (path.name, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


class Light:
    """A project to be spoilt and mended."""

    def __init__(self, root: Path) -> None:
        self.root = root
        first = root / ".payoff/first.json"
        self.first: dict[str, Any] = json.loads(first.read_text()) if first.exists() else {}
        self._kept: dict[Path, bytes] = {}

    # -- what is done to it

    def change(self, file: str, old: str, new: str) -> None:
        self._keep(file)
        replace(self.root / file, old, new)

    def write(self, file: str, text: str) -> None:
        self._keep(file)
        (self.root / file).write_text(text, encoding="utf-8")

    def append(self, file: str, text: str | bytes) -> None:
        self._keep(file)
        with open(self.root / file, "ab") as stream:
            stream.write(text.encode() if isinstance(text, str) else text)

    def more_customers(self, start: int = 9001) -> None:
        """Enough new rows that some are on each side of the split."""
        self.append(
            "data/customers.csv", "".join(f"{n},10,1,0,100.0,true,{SECRET}{n}\n" for n in range(start, start + 20))
        )

    def mend(self) -> None:
        """Every file as it was."""
        for path, content in self._kept.items():
            path.write_bytes(content)
        self._kept = {}

    def _keep(self, file: str) -> None:
        path = self.root / file
        self._kept.setdefault(path, path.read_bytes())

    # -- what is asked of it

    def command(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        return payoff(*words, at=self.root, code=code)

    def payoff(self, *words: str, code: int | None = 0) -> str:
        done = self.command(*words, code=code)
        said = done.stdout + done.stderr
        assert SECRET not in said, "a value of a personal column was shown"
        return said

    def run(self, *words: str, code: int | None = 0) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.payoff("run", "--json", *words, code=code))
        return answer

    def runs(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self.payoff("runs", "--json"))["runs"]
        return listed

    def is_whole(self) -> None:
        """Everything that was recorded can be read, the first run among it, and holds no value of a personal column."""
        runs = self.runs()
        assert self.first["run"] in {each["run"] for each in runs}
        for each in runs:
            if each["status"] != "unfinished":
                assert json.loads(self.payoff("show", each["run"], "--json", code=None))["run"] == each["run"]
        self.keeps_secrets()

    def keeps_secrets(self) -> None:
        """No file of ours but the tables in the store has a value of a personal column."""
        ours = self.root / ".payoff"
        for path in ours.rglob("*"):
            if (
                path.is_file()
                and not path.is_relative_to(ours / "store")
                and not path.is_relative_to(self.root / ENVIRONMENTS)
            ):
                assert SECRET.encode() not in path.read_bytes(), path

    def left_running(self) -> list[str]:
        """Processes that have the project's folder on their command line or are at work in it."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                place = str((folder / "cwd").resolve())
            except OSError:
                continue
            if str(self.root) in words or place.startswith(str(self.root)):
                found.append(words)
        return found

    # -- what every bad input must lead to

    def refuses(
        self, code: str, *words: str, exit_code: int = 2, where: str = "", expected: str = "", recorded: bool = True
    ) -> dict[str, Any]:
        """Run it, and see that the error says what, where, what was expected and what to type, on the screen, in the document and the record.

        `words` must be in what was found; `where` is `file:line`. Then all that was kept before is still there.
        """
        screen = self.payoff("run", code=exit_code)
        flat = " ".join(screen.split())
        assert code in screen or exit_code == 1, screen
        for word in words:
            assert word in flat, screen
        assert "Try: " in screen, screen
        for ours in ("Traceback", "payoff/execute", "_payoff_worker", "bug in Payoff"):
            assert ours not in screen, screen
        newest = self.runs()[0]
        if recorded:
            assert newest["run"] != self.first["run"]
            assert newest["status"] == ("refused" if exit_code == 1 else "failed")
            assert newest["reason"]
            document = json.loads(self.payoff("show", "--json"))
            assert document["exit_code"] == exit_code
        else:
            assert newest["run"] == self.first["run"]
            document = self.run(code=exit_code)
        errors = [error for error in document["errors"] if error["code"] == code]
        assert errors, document["errors"]
        error: dict[str, Any] = errors[0]
        assert all(word in error["what"] for word in words), error
        assert error["expected"]
        assert expected in error["expected"], error
        assert error["try"]
        if where:
            assert f"{error['where']['file']}:{error['where']['line']}" == where, error
            assert f"where: {where}" in screen or f" {where}" in screen, screen
        assert json.loads(self.payoff("show", self.first["run"], "--json"))["per_year"] == self.first["per_year"]
        self.keeps_secrets()
        return error

    def mended_passes(self) -> dict[str, Any]:
        """With its files as they were, it runs again, to the money of the first run."""
        self.mend()
        answer = self.run()
        assert answer["status"] == "passed"
        assert answer["per_year"]["model"]["mean"] == pytest.approx(self.first["per_year"]["model"]["mean"])
        self.keeps_secrets()
        return answer


class Released(Light):
    """A project whose releases go from dev to prod."""

    def command(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """What is deployed first was unpacked before: it is compared with its layers, as every time, and not written again by each test.

        Nobody writes to such a file, in whose place another one may come; therefore all tests have the same ones.
        """
        images = self.root / ".payoff/deployments/images"
        if words[0] in {"deploy", "rollback"} and "--dry-run" not in words and not images.exists() and (self.root / UNPACKED).exists():
            shutil.copytree((self.root / UNPACKED).resolve(), images, symlinks=True, copy_function=os.link)
        return super().command(*words, code=code)

    def sign_as(self, name: str) -> None:
        git(self.root, "config", "user.signingkey", f".payoff/keys/{name}")

    def git(self, *words: str) -> str:
        return git(self.root, *words)

    def commit(self, says: str = "a change") -> None:
        git(self.root, "add", "--all", "--force", "deploy", "payoff.toml", "charter.toml", "contracts")
        git(self.root, "commit", "--quiet", "--all", "--message", says)

    def answer(self, *words: str, code: int | None = 0) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.payoff(*words, "--json", code=code))
        return answer

    def refused(self, *words: str, code: int = 1) -> str:
        """The code of the error."""
        answer = self.answer(*words, code=code)
        return str(answer["errors"][0]["code"])

    def to(self, deployment: str, release: int = 1) -> dict[str, Any]:
        """All that it takes."""
        for each in ("dev", "test", "prod")[: ("dev", "test", "prod").index(deployment) + 1]:
            if each == "prod":
                self.approve(release)
            self.answer("promote", str(release), each)
            answer = self.answer("deploy", each)
        return answer

    def approve(self, release: int) -> None:
        self.sign_as("olga")
        self.answer("approve", str(release), "--as", "owner")
        self.sign_as("ann")
        self.answer("approve", str(release), "--as", "engineer")

    def end(self) -> None:
        """End what was deployed; by its number and only if it is still the one that was started."""
        from payoff.adapters.deployers import process
        from payoff.adapters.fronts.proxy import front

        before = front.connect(self.root, front.Options())
        for file in (self.root / ".payoff/deployments").glob("*.front"):
            before.stop(file.stem)
        made = process.connect(self.root, process.Options(drain=5.0))
        for file in (self.root / ".payoff/deployments").glob("*.process"):
            made.stop(file.stem)
