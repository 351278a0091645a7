"""A disk without room below a real gateway: traffic falls all the same, and is stored when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

import pytest
from local_serving import ME, ask, deployed, light_serving, model

from airflow_mlops.cli import main
from airflow_mlops.core.errors import StateFileError

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path):
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_reaper_and_rollback_take_the_requests_and_store_it_when_there_is_room(
    disk, tmp_path, monkeypatch, capsys
):
    with light_serving(disk / "serving", monkeypatch) as serving:
        url = deployed(serving, "m", "1", tmp_path)
        serving.deploy("m", "2", model(tmp_path / "two"), holder=ME)
        serving.take_lease("m", ME, now=time.time() - 100, seconds=1)
        serving.set_traffic("m", "2", 50, holder=ME)
        fill(disk / "filler")
        assert main(["reap", "--state-dir", str(serving.state_dir)]) == 2
        assert "lowered to 0 %, but that is not stored" in capsys.readouterr().err
        assert {ask(url).headers["X-Model-Version"] for _ in range(6)} == {"1"}
        with pytest.raises(StateFileError, match="No space left"):
            serving.roll_back("m", "2", holder=ME)
        assert serving.endpoint_state("m").percent == 50
        (disk / "filler").unlink()
        assert main(["reap", "--state-dir", str(serving.state_dir)]) == 0
        stored = serving.endpoint_state("m")
        assert (stored.percent, stored.holder, serving.traffic("m").canary_percent) == (0, None, 0)
        assert [end.kind for end in serving.pending_ends("m")] == ["reaped"]
