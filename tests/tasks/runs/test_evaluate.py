"""A model that was kept, evaluated again, gives what its record says."""

from __future__ import annotations

import pytest
import torch
from small_examples import write_pairs

from cellzoo.cli.main import main
from cellzoo.errors import CellzooError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.runs import run_suite
from tasks.runs.evaluate import evaluate_again
from tasks.runs.run import request_plan

TINY = {"hidden_size": 3, "word_size": 4, "epochs": 1, "cell_parameters": 200}
TAGGER = {**TINY, "train_sentences": 30, "dev_sentences": 10}


def evaluated(suite, out, settings, data=None, cells=("gru",)):
    plan = request_plan(suite, cells, 1, data=data, settings=settings, keep_models=True)
    return list(evaluate_again(plan, out, "cpu"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A classifier and a tagger, trained for an epoch and kept."""
    folder = tmp_path_factory.mktemp("kept")
    corpus = write_pairs(folder, train=40, dev=10)
    task = folder / "toy.toml"
    task.write_text(
        f'name = "toy"\ntitle = "Toy"\nrevision = 1\nproblem = "classification"\nsettings.corpus = "{corpus}"\n'
    )
    settings = {**TINY, "mlp_size": 4}
    requests = [(str(task), settings, folder), ("small-ner", TAGGER, None)]
    for suite, changes, data in requests:
        run_suite(
            suite,
            ["gru"],
            out=folder / "out",
            data=data,
            settings=changes,
            keep_models=True,
            executor="serial",
            device="cpu",
        )
    return folder / "out", requests


def test_all_metrics_are_those_of_the_record(kept):
    out, requests = kept
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for suite, settings, data in requests:
        (found,) = evaluated(suite, out, settings, data)
        assert found.metrics == {name: found.record.value(name) for name in found.metrics}
        assert found.metrics.keys() == found.record.metrics.keys()
        assert str(found).endswith(f"all {len(found.metrics)} metrics as in its record")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_other_weights_are_noticed(kept, tmp_path, capsys):
    out, ((suite, settings, data), _) = kept
    (found,) = evaluated(suite, out, settings, data)
    path = out / "artifacts" / found.job.keeps
    whole = path.read_bytes()
    tensors, content = read_tensors(path)
    try:
        write_tensors(path, {name: torch.zeros_like(one) for name, one in tensors.items()}, content)
        arguments = [f"--set={name}={value}" for name, value in settings.items()]
        command = ["run", suite, "--cells", "gru", "--out", str(out), "--data", str(data), "--eval-only"]
        assert main([*command, *arguments]) == 1
        shown = capsys.readouterr()
        assert "NOT as in its record: " in shown.out
        assert "1 model is not what the records say" in shown.err
        write_tensors(path, {name: one for name, one in tensors.items() if "rnn" not in name}, content)
        with pytest.raises(CellzooError, match=r"does not fit the cell and the settings"):
            evaluated(suite, out, settings, data)
    finally:
        path.write_bytes(whole)


def test_what_was_not_kept_cannot_be_evaluated(kept, tmp_path):
    out, ((suite, settings, data), _) = kept
    with pytest.raises(CellzooError, match="has no record of toy lstm seed 0 with these settings"):
        evaluated(suite, out, settings, data, cells=("lstm",))
    run_suite("fake_task:Fake", ["lstm"], out=tmp_path, executor="serial", device="cpu", keep_models=True)
    with pytest.raises(CellzooError, match="its models cannot be evaluated again"):
        evaluated("fake_task:Fake", tmp_path, {}, cells=("lstm",))
    (model,) = (tmp_path / "artifacts").glob("*.model.txt")
    model.unlink()
    with pytest.raises(CellzooError, match=r"left no model .* run it again with --keep-models"):
        evaluated("fake_task:Fake", tmp_path, {}, cells=("lstm",))
    features = {**TAGGER, "features": f"flair:{tmp_path / 'lm.pt'}"}
    (tmp_path / "lm.pt").write_bytes(b"")
    with pytest.raises(
        CellzooError, match="small-ner gru seed 0 keeps no model: nothing writes it, or its feat"
    ):
        evaluated("small-ner", out, features)
