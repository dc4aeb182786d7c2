import json

from in2x.training import metrics
from in2x.training.metrics import MetricsLog, duration, progress_bar


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_what_lies_after_the_checkpoint_is_cut_off_when_training_goes_on(tmp_path):
    log = MetricsLog(tmp_path)
    for step in range(1, 6):
        log.write(step, loss=1.0 / step, phase="stable")
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "lo')  # a kill in the middle of a line
    log = MetricsLog(tmp_path, resume_step=3)
    assert steps(tmp_path / "metrics.jsonl") == [1, 2, 3]
    log.write(4, loss=0.5)
    log.close()
    assert steps(tmp_path / "metrics.jsonl") == [1, 2, 3, 4]
    second = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1])
    assert second == {"step": 2, "loss": 0.5, "phase": "stable"}


def test_a_new_run_starts_an_empty_log(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    MetricsLog(tmp_path).close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_tensorboard_has_the_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = MetricsLog(tmp_path)
    log.write(1, loss=2.0, phase="stable")
    log.write(2, loss=1.0)
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 2.0), (2, 1.0)]


def test_duration():
    found = [duration(seconds) for seconds in (0, 59.6, 3599, 3600, 37_805)]
    assert found == ["0:00", "1:00", "59:59", "1:00:00", "10:30:05"]


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch, capsys):
    times = iter([0.0, 10.0, 20.0, 30.0])  # made, advanced, advanced and printed
    monkeypatch.setattr(metrics.time, "monotonic", lambda: next(times))
    with progress_bar("sft", 100, done=40) as bar:
        bar.advance(10)  # after 10 seconds: too early
        bar.advance(10, "loss 1.0")
    assert capsys.readouterr().out == "  sft: 60/100  loss 1.0  1:00 left\n"  # 20 in 30 seconds, 40 to go
