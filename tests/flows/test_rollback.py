"""`payoff rollback` where something is wrong: a file that was edited by hand, an image that is gone, two who roll back at once. The past itself is tried
in test_rollback_past.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PAYOFF = str(Path(sys.executable).with_name("payoff"))


def test_an_edit_by_hand_and_an_image_that_is_gone(released: Any) -> None:
    for release in (1, 2):
        released.answer("promote", str(release), "dev")
    written = (released.root / "deploy/dev.toml").read_text()
    for content in ("release = oops\n", written.replace("release = 2", "release = 1")):
        (released.root / "deploy/dev.toml").write_text(content)
        released.commit("at night")
        released.refused("deploy", "dev")
        assert released.answer("rollback", "dev", "--commit-only")["release"]["number"] == 2
        assert (released.root / "deploy/dev.toml").read_text() == written

    again = released.git("rev-parse", "HEAD")
    answer = released.answer("rollback", "dev", "--to", "2", "--commit-only")
    assert (answer["release"]["number"], answer["already"], released.git("rev-parse", "HEAD")) == (2, True, again)

    run = released.answer("run", "-p", "slope=0.37")["run"]
    released.answer("release", run)
    released.answer("promote", "3", "dev")
    index = released.root / ".payoff/images/index.json"
    image = json.loads((released.root / "deploy/releases/0002.json").read_bytes())
    assert image
    kept = json.loads(index.read_text())
    digest = written.partition('image = "')[2].partition('"')[0]
    blob = released.root / ".payoff/images/blobs/sha256" / digest.partition(":")[2]
    blob.unlink()
    index.write_text(json.dumps({**kept, "manifests": [each for each in kept["manifests"] if each["digest"] != digest]}))
    done = subprocess.run([PAYOFF, "rollback", "dev", "--commit-only"], cwd=released.root, capture_output=True, text=True, check=False)
    assert "PO-A108" in done.stderr + done.stdout
    assert "or further back: payoff rollback dev --to 1" in done.stderr + done.stdout
    assert released.answer("rollback", "dev", "--to", "1", "--commit-only")["release"]["number"] == 1


def test_two_who_roll_back_to_one_release_at_once(released: Any) -> None:
    """One commits it, the other finds it done, or is told that somebody was quicker: it is never undone twice."""
    for release in (1, 2, 1, 2):
        released.answer("promote", str(release), "dev")
    words = [PAYOFF, "rollback", "dev", "--to", "1", "--commit-only", "--json"]
    both = [subprocess.Popen(words, cwd=released.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [each.communicate(timeout=120)[0] for each in both]
    codes = sorted(each.returncode for each in both)
    assert codes in ([0, 0], [0, 1]), said
    assert codes == [0, 0] or any("PO-A082" in each for each in said), said
    rolled = released.git("log", "--format=%s", "--", "deploy/dev.toml").splitlines()
    assert sum(each.startswith("Roll dev back to release 1") for each in rolled) == 1
    assert "release = 1" in (released.root / "deploy/dev.toml").read_text()
    assert released.git("status", "--porcelain") == ""
