"""The contract suite of mixers.

Inherit it in a test file, name the adapter, and answer two projects whose locks differ; pytest does the rest:

    class TestMyMixer(MixerSuite):
        adapter = "payoff.mixers:mine"

        @pytest.fixture()
        def projects(self, tmp_path): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.environments.mixer import Mixer


def connect(adapter: str, root: Path) -> Mixer:
    """The mixer that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    made: Mixer = module.connect(root, module.Options())
    return made


class MixerSuite:
    """What every mixer promises."""

    adapter: ClassVar[str]

    @pytest.fixture
    def projects(self, tmp_path: Path) -> tuple[Path, Path]:
        """Two locked projects: `alpha` 1.0 and 2.0, `beta` 1.0 and 1.1; `beta` 1.1 needs `alpha` 2 or newer; of `alpha` 1.0, 1.1, 1.2, 2.0 are published,
        and 1.3rc1, a pre-release.
        """
        raise NotImplementedError

    @pytest.fixture
    def mixer(self, tmp_path: Path) -> Mixer:
        """A connected one."""
        return connect(self.adapter, tmp_path)

    def test_versions_that_go_together(self, mixer: Mixer, projects: tuple[Path, Path], tmp_path: Path) -> None:
        """A lock with exactly these versions, made once."""
        wanted = {"alpha": "2.0", "beta": "1.0"}
        assert mixer.mix(*projects, wanted, tmp_path / "mixed") == ""
        text = (tmp_path / "mixed" / "uv.lock").read_text(encoding="utf-8")
        assert mixer.mix(*projects, wanted, tmp_path / "mixed") == ""
        assert (tmp_path / "mixed" / "uv.lock").read_text(encoding="utf-8") == text

    def test_versions_that_do_not(self, mixer: Mixer, projects: tuple[Path, Path], tmp_path: Path) -> None:
        """A reason, and no lock."""
        reason = mixer.mix(*projects, {"alpha": "1.0", "beta": "1.1"}, tmp_path / "mixed")
        assert "alpha" in reason
        assert "\n" not in reason
        assert not (tmp_path / "mixed" / "uv.lock").exists()

    def test_only_what_the_second_asks_for(self, mixer: Mixer, projects: tuple[Path, Path], tmp_path: Path) -> None:
        """Of the first only where packages come from is taken, then: a second that says nothing of that gets its packages all the same."""
        second = tmp_path / "asks"
        second.mkdir()
        text = '[project]\nname = "asks"\nversion = "0"\ndependencies = ["alpha"]\n'
        (second / "pyproject.toml").write_text(text, encoding="utf-8")
        versions = {"alpha": "1.2", "beta": "1.0"}
        assert mixer.mix(projects[0], second, versions, tmp_path / "alone", asked=False) == ""
        lock = (tmp_path / "alone" / "uv.lock").read_text(encoding="utf-8")
        assert 'name = "alpha"\nversion = "1.2"' in lock
        assert '[[package]]\nname = "beta"' not in lock

    def test_what_is_not_asked_for_does_not_slip_in(
        self, mixer: Mixer, projects: tuple[Path, Path], tmp_path: Path
    ) -> None:
        """A package that another needs is not added by itself."""
        assert "alpha" in mixer.mix(*projects, {"beta": "1.1"}, tmp_path / "mixed")

    def test_published_versions(self, mixer: Mixer, projects: tuple[Path, Path]) -> None:
        """After one, up to another, ascending, without pre-releases."""
        assert mixer.versions("alpha", "1.0", "2.0", projects[0]) == ("1.1", "1.2", "2.0")
        assert mixer.versions("alpha", "1.2", "2.0", projects[0]) == ("2.0",)

    def test_a_lock_is_made_and_stays(self, mixer: Mixer, projects: tuple[Path, Path]) -> None:
        """What is locked stays while it fits; newer versions come when they are asked for."""
        first, _ = projects
        asked, lock = first / "pyproject.toml", first / "uv.lock"
        before = lock.read_text(encoding="utf-8")
        assert mixer.lock(first) == ""
        assert lock.read_text(encoding="utf-8") == before
        asked.write_text(asked.read_text(encoding="utf-8").replace("alpha==1.0", "alpha<2"), encoding="utf-8")
        assert mixer.lock(first) == ""
        assert 'name = "alpha"\nversion = "1.0"' in lock.read_text(encoding="utf-8")
        assert mixer.lock(first, packages=["alpha"]) == ""
        assert 'name = "alpha"\nversion = "1.2"' in lock.read_text(encoding="utf-8")

    def test_what_cannot_be_locked(self, mixer: Mixer, projects: tuple[Path, Path]) -> None:
        """A reason in one line."""
        asked = projects[0] / "pyproject.toml"
        asked.write_text(asked.read_text(encoding="utf-8").replace("alpha==1.0", "alpha==7"), encoding="utf-8")
        reason = mixer.lock(projects[0])
        assert "alpha" in reason
        assert "\n" not in reason
