"""The folder of Arrow files with its database keeps what every landing promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from payoff.base.errors import OutsideError
from payoff.records.stream import LandingState
from payoff.testing.landing import LandingSuite, arrival, committed, connect, offsets, whole

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.landing import Landing


class TestLocal(LandingSuite):
    adapter = "payoff.landings:local"

    def test_a_file_that_was_cut_or_taken_away_is_said(self, landing: Landing, tmp_path: Path) -> None:
        committed(landing, LandingState(), arrival(0, 10))
        (file,) = tmp_path.rglob("*.arrow")
        whole_file = file.read_bytes()
        for damage in (whole_file[:-50], None):
            file.write_bytes(damage) if damage else file.unlink()
            with pytest.raises(OutsideError, match="gone or damaged"):
                offsets(landing)
        file.write_bytes(whole_file)
        assert offsets(landing) == whole(10)

    def test_a_writer_whose_file_was_tidied_away_begins_again(self, landing: Landing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from payoff.adapters.landings.local import segments

        write, other = segments.write, connect(self.adapter, tmp_path)

        def and_tidy(folder: Path, table: object) -> object:
            segment = write(folder, table)
            other.tidy("t")
            return segment

        monkeypatch.setattr(segments, "write", and_tidy)
        assert landing.commit("t", 0, arrival(0, 10)) is None
        monkeypatch.undo()
        committed(landing, LandingState(), arrival(0, 10))
        assert offsets(landing) == whole(10)

    def test_small_files_become_few(self, landing: Landing, tmp_path: Path) -> None:
        state = LandingState()
        for number in range(100):
            state = committed(landing, state, arrival(number, number + 1))
        landing.tidy("t")
        assert landing.state("t").segments == len(list(tmp_path.rglob("*.arrow"))) == 1
        assert offsets(landing) == whole(100)
        assert landing.state("t").positions == state.positions

    @pytest.mark.slow  # 150 kills, one after the other, each of a process that has to start
    @pytest.mark.timeout(900)
    def test_hundreds_of_kills(self, landing: Landing, tmp_path: Path) -> None:
        self.killed(landing, tmp_path, kills=150, writers=1, seconds=0.02)
