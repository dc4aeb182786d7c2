import builtins
import json

import pytest

from in2x.artifacts import In2xError
from in2x.training import trackers
from in2x.training.metrics import MetricsLog


class Noted:
    """A tracker that notes what it is told."""

    def __init__(self, folder, resume_step, online):
        self.folder, self.resume_step, self.online, self.told, self.closed = folder, resume_step, online, [], False
        Noted.last = self

    def add(self, step, values):
        self.told.append((step, dict(values)))

    def close(self):
        self.closed = True


def test_a_tracker_gets_every_number_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setitem(trackers.TRACKERS, "wandb", Noted)
    log = MetricsLog(tmp_path, trackers=("wandb",), online=True)
    log.write(1, loss=2.0, phase="long", **{"loss/web": 1.5})
    log.plot(2, perplexity=7)
    log.close()
    assert Noted.last.told == [(1, {"loss": 2.0, "loss/web": 1.5}), (2, {"perplexity": 7})]
    assert (Noted.last.resume_step, Noted.last.online, Noted.last.closed) == (None, True, True)
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["phase"] == "long"
    MetricsLog(tmp_path, 1, ("wandb",))
    assert (Noted.last.resume_step, Noted.last.online) == (1, False)
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch, name):
    real = builtins.__import__

    def missing(module, *rest):
        if module == name:
            raise ImportError(f"No module named {name!r}")
        return real(module, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(In2xError, match=rf"needs the package {name} .*pip install 'in2x\[{name}\]'"):
        MetricsLog(tmp_path, trackers=(name,))


def test_wandb_keeps_its_run_offline(tmp_path):
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    log = MetricsLog(tmp_path / "run/sft", trackers=("wandb",))
    log.write(1, loss=2.0)
    log.close()
    (run,) = (tmp_path / "run/sft/wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))


def test_trackio_has_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "store"))
    trackio = pytest.importorskip("trackio", reason="the extra `trackio` is not installed")
    log = MetricsLog(tmp_path / "run/sft", trackers=("trackio",))
    log.write(1, loss=2.0)
    log.write(2, loss=1.5)
    log.close()
    (run,) = trackio.Api().runs(trackers.PROJECT)
    assert run.name == "run/sft"
    assert [
        point["value"]
        for point in trackio.sqlite_storage.SQLiteStorage.get_metric_values(trackers.PROJECT, run.name, "loss")
    ] == [2.0, 1.5]
