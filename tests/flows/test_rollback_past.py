"""What a deployment ran before, by a real git's history of its file: promotions, reverts of all makes, merges, edits by hand. No release is made here:
tests/flows/test_promotion.py goes the whole way.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.base.errors import UserError
from payoff.flows.releasing import rollback
from payoff.project.releasing import command, committed, pins

PATH = "deploy/prod.toml"


def pin(release: int, canary: int = 0) -> pins.Pinned:
    said = {"statement": f"{release:064}", "image": f"sha256:{release:064}"}
    tried = pins.Trial(release=canary, statement=f"{canary:064}", image=f"sha256:{canary:064}", share=0.1) if canary else None
    return pins.Pinned(release=release, **said, canary=tried)


class Repository:
    """A repository in which commits are made quickly."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0
        (root / "deploy").mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit("begin", {})

    def git(self, *words: str) -> str:
        self.count += 1
        who = {f"GIT_{each}_{name}": value for each in ("AUTHOR", "COMMITTER") for name, value in (("NAME", "Ann"), ("EMAIL", "ann@example.org"))}
        at = f"{1_700_000_000 + self.count} +0000"
        environment = {**os.environ, **who, "GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at, "GIT_CONFIG_GLOBAL": "/dev/null"}
        done = subprocess.run(["git", *words], cwd=self.root, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, says: str, files: dict[str, bytes | None]) -> str:
        for path, content in files.items():
            if content is None:
                (self.root / path).unlink()
            else:
                (self.root / path).write_bytes(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", says)
        return self.git("rev-parse", "HEAD")

    def promote(self, release: int, canary: int = 0) -> str:
        return self.commit(f"Promote release {release} to prod", {PATH: pins.write(pin(release, canary))})

    def past(self) -> rollback.Past:
        return rollback.past(self.root, "HEAD", PATH, lambda each: each.release < 90)

    def back(self, to: int = 0) -> int:
        """As `payoff rollback` does; answers the release."""
        link: Any = SimpleNamespace(digest=pin(to).statement, release=SimpleNamespace(number=to)) if to else None
        undone, found = rollback._before(self.past(), PATH, link)
        if undone:
            self.commit(f"Roll prod back to release {found.release}\n\nThis reverts commit {undone}.", {PATH: pins.write(found)})
        return found.release

    def pile(self) -> list[int]:
        return [each.release for _, each in self.past().pile]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "bäckerei")


def test_promotions_lie_on_a_pile(repository: Repository) -> None:
    for release in (1, 2, 3):
        repository.promote(release)
    assert (repository.back(), repository.back()) == (2, 1)
    with pytest.raises(UserError, match="named no release before release 1"):
        repository.back()
    repository.promote(3)
    assert repository.back() == 1


def test_a_revert_by_git_is_one(repository: Repository) -> None:
    """And a revert of a revert takes nothing back."""
    for release in (1, 2, 3):
        repository.promote(release)
    repository.git("revert", "--no-edit", "HEAD")
    assert repository.pile() == [1, 2]
    repository.git("revert", "--no-edit", "HEAD")
    assert repository.pile() == [1, 2, 3]
    assert repository.back() == 2
    repository.git("revert", "--no-edit", "HEAD")
    assert (repository.pile(), repository.back()) == ([1, 2, 3], 2)


def test_the_same_release_twice_on_the_pile(repository: Repository) -> None:
    """1, 2, and 1 again by a promotion; the revert of that one is undone. It is the upper one that is meant."""
    for release in (1, 2, 1):
        repository.promote(release)
    repository.git("revert", "--no-edit", "HEAD")
    assert repository.pile() == [1, 2]
    repository.git("revert", "--no-edit", "HEAD")
    assert repository.pile() == [1, 2, 1]
    assert repository.back() == 2


def side(repository: Repository, name: str, at: str, made: Any) -> None:
    repository.git("switch", "--quiet", "--create", name, at)
    made()
    repository.git("switch", "--quiet", "main")


def test_promotions_and_reverts_by_pull_request(repository: Repository) -> None:
    """Each is a branch of its own, merged with a merge's message."""
    repository.promote(1)
    for release in (2, 3):
        side(repository, f"to-{release}", "main", lambda release=release: repository.promote(release))
        repository.commit("meanwhile", {"other": str(release).encode()})
        repository.git("merge", "--quiet", "--no-ff", "-m", f"Merge pull request #{release}", f"to-{release}")
    side(repository, "back", "main", lambda: repository.git("revert", "--no-edit", "to-3"))
    repository.commit("meanwhile", {"other": b"x"})
    repository.git("merge", "--quiet", "--no-ff", "-m", "Merge pull request #9", "back")
    assert repository.pile() == [1, 2]
    assert repository.back() == 1


def test_a_merge_that_is_reverted(repository: Repository) -> None:
    repository.promote(1)
    side(repository, "to-2", "main", lambda: repository.promote(2))
    repository.git("merge", "--quiet", "--no-ff", "-m", "Merge pull request #2", "to-2")
    repository.promote(3)
    repository.back()
    repository.git("revert", "--no-edit", "-m", "1", "HEAD~1^{/Merge}")
    assert repository.pile() == [1]


def test_what_others_promoted_is_pulled_with_a_merge(repository: Repository) -> None:
    """`git pull` on a branch with commits of its own: ours is the first parent, and the promotions are on the other side."""
    repository.promote(1)
    side(repository, "origin", "main", lambda: [repository.promote(2), repository.promote(3)])
    repository.commit("Release 1 runs in prod", {"other": b"x"})
    repository.git("merge", "--quiet", "--no-ff", "-m", "Merge branch 'main' of origin", "origin")
    assert repository.pile() == [1, 2, 3]
    assert repository.back() == 2


@pytest.mark.parametrize(
    "says",
    ['Revert "Promote release 2 to prod" (#12)\n\nReverts team/churn#11', "Take it back\n\nThis reverts merge request !11", "Reverts team/churn#11"],
)
def test_reverts_that_hosts_squash(repository: Repository, says: str) -> None:
    for release in (1, 2):
        repository.promote(release)
    repository.commit(says, {PATH: pins.write(pin(1))})
    assert repository.pile() == [1]


@pytest.mark.parametrize("content", [b"release = oops", b"", None, pins.write(pin(99))], ids=["broken", "empty", "removed", "no-release"])
def test_an_edit_by_hand_is_what_is_taken_back(repository: Repository, content: bytes | None) -> None:
    """And it stays nothing to go back to."""
    for release in (1, 2):
        repository.promote(release)
    repository.commit("at night", {PATH: content})
    assert repository.back() == 2
    assert repository.pile() == [1, 2]
    repository.promote(3)
    assert (repository.back(), repository.back()) == (2, 1)


def test_an_edit_by_hand_to_a_release_is_a_promotion(repository: Repository) -> None:
    for release in (1, 2):
        repository.promote(release)
    repository.commit("at night", {PATH: b"# by hand\n" + pins.write(pin(3))})
    assert (repository.pile(), repository.back()) == ([1, 2, 3], 2)


def test_one_that_is_tried_goes_first(repository: Repository) -> None:
    for release in (1, 2):
        repository.promote(release)
    for _ in range(2):
        repository.promote(2, canary=3)
        repository.commit("Release 3 gets 50% of prod", {PATH: pins.write(msgspec.structs.replace(pin(2, canary=3)))})
        assert repository.back() == 2
        assert repository.past().now == pin(2)
    assert repository.back() == 1


def test_a_named_one(repository: Repository) -> None:
    """Named twice, it is gone back to once: who gets up second does no harm."""
    for release in (1, 2, 3):
        repository.promote(release)
    head = repository.git("rev-parse", "HEAD")
    assert repository.back(3) == 3
    assert repository.git("rev-parse", "HEAD") == head
    assert repository.back(1) == 1
    head = repository.git("rev-parse", "HEAD")
    assert (repository.back(1), repository.git("rev-parse", "HEAD")) == (1, head)
    assert repository.pile() == [1]
    with pytest.raises(UserError, match="release 2 did not run there before"):
        repository.back(2)
    repository.promote(1, canary=2)
    assert (repository.back(1), repository.past().now) == (1, pin(1))


def test_a_project_in_a_folder_of_its_repository(repository: Repository) -> None:
    """Its paths begin at the project; a file of the same name at the repository's root is another one's."""
    inner = repository.root / "models" / "churn"
    (inner / "deploy").mkdir(parents=True)
    repository.promote(7)
    for release in (1, 2):
        repository.commit("Promote", {f"models/churn/{PATH}": pins.write(pin(release))})
    past = rollback.past(inner, "HEAD", PATH, lambda _pin: True)
    assert [each.release for _, each in past.pile] == [1, 2]


def test_nothing_was_promoted(repository: Repository) -> None:
    for to in (0, 1):
        with pytest.raises(UserError, match="named no release\n") as caught:
            repository.back(to)
        assert caught.value.code == "PO-A107"


STEPS = st.lists(st.sampled_from(["promote", "promote", "back", "revert", "again", "canary", "hand", "pull"]), min_size=3, max_size=9)


@settings(max_examples=5)
@given(steps=STEPS)
def test_any_history_is_a_pile(steps: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Held against a list to which promotions are added, and from which whatever takes back takes the last."""
    made = Repository(tmp_path_factory.mktemp("any") / "r")
    made.promote(1)
    model, last, taken = [1], 1, 0
    for step in steps:
        if step == "promote":
            last += 1
            made.promote(last)
            model.append(last)
        elif step == "back" and len(model) > 1:
            taken = model.pop()
            assert made.back() == model[-1]
        elif step == "revert" and len(model) > 1:
            # By hand, of the commit that put the last one there, with something else beside.
            taken = model.pop()
            undone = made.past().pile[-1][0]
            made.commit(f"Revert it\n\nThis reverts commit {undone}.", {PATH: pins.write(pin(model[-1])), "other": str(made.count).encode()})
        elif step == "again" and taken:
            model.append(taken)
            undone = made.past().newest
            made.commit(f'Reapply "it"\n\nThis reverts commit {undone}.', {PATH: pins.write(pin(taken))})
        elif step == "canary":
            made.promote(model[-1], canary=last + 50)
            assert made.back() == model[-1]
        elif step == "hand":
            made.commit("at night", {PATH: b"oops"})
            assert made.back() == model[-1]
        elif step == "pull":
            made.git("switch", "--quiet", "--create", f"side-{made.count}", "HEAD")
            last += 1
            made.promote(last)
            model.append(last)
            name = made.git("rev-parse", "--abbrev-ref", "HEAD")
            made.git("switch", "--quiet", "main")
            made.commit("ours", {"other": str(made.count).encode()})
            made.git("merge", "--quiet", "--no-ff", "-m", "Merge", name)
        if step not in {"back", "revert"}:
            taken = 0
        assert made.pile() == model


def test_users_who_have_logs_shown_otherwise_have_the_same_past(repository: Repository) -> None:
    """Settings of git's that change what `git log` says."""
    other = "deploy/test.toml"
    repository.commit("Promote release 1 to test", {other: pins.write(pin(1))})
    repository.git("mv", other, PATH)
    repository.commit("Promote release 2 to prod", {PATH: pins.write(pin(2))})
    repository.promote(3)
    for name in ("log.follow", "log.showSignature", "color.ui"):
        repository.git("config", name, "always" if name == "color.ui" else "true")
    assert repository.pile() == [2, 3]


def test_a_long_past_is_read_by_few_programs(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(30):
        repository.promote(n % 7 + 1)
    asked: list[Any] = []
    run = command.run
    for module in (command, committed):
        monkeypatch.setattr(module, "run", lambda *words, **more: asked.append(words) or run(*words, **more))
    assert len(repository.past().pile) == 30
    assert len(asked) < 5


def test_what_a_first_commit_brought_is_known_whatever_logs_show(repository: Repository) -> None:
    (repository.root / PATH).write_bytes(pins.write(pin(1)))
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--amend", "--message", "Taken over from elsewhere")
    repository.git("config", "log.showRoot", "false")
    assert committed.Kept(repository.root, "HEAD", "deploy").paths() == [PATH]
