"""Small logs in the form of NAS-Bench-NLP's, and the real ones as plain JSON."""

from __future__ import annotations

import json
import random
import zipfile

RECIPES = [
    '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": "activation_tanh", "input": ["f"]}}',
    '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": "activation_sigm", "input": ["f"]}}',
    '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "g": {"op": "activation_sigm", "input": ["f"]}, '
    '"h_new_0": {"op": "elementwise_prod", "input": ["g", "h_prev_0"]}}',
    '{"f": {"op": "linear", "input": ["x"]}, "h_new_0": {"op": "elementwise_sum", "input": ["f", "h_prev_0"]}}',
]
WIKITEXT2 = "nas-bench-nlp/train_logs_wikitext-2.zip"
PTB = "nas-bench-nlp-ptb/RNN_parameters.csv"


def log(identity=1_000_000, recipe=RECIPES[0], epochs=5, seed=0, **changes):
    """A log of a training as the released code writes it."""
    draw = random.Random(f"{identity} {seed}")
    losses = [8.0 - epoch / epochs - draw.random() for epoch in range(epochs)]
    content = {
        "data": "data/wikitext-2",
        "recepie_id": identity,
        "recepie": recipe,
        "num_params": 1000 + identity % 1000,
        "wall_times": [100.0 + draw.random() for _ in range(epochs)],
        "train_losses": losses,
        "val_losses": [loss + 0.1 for loss in losses],
        "test_losses": [loss + 0.2 for loss in losses],
        "status": "OK",
    }
    return content | changes


def name_of(content, seed=0):
    return f"log_stats_model_{content['recepie_id']}_2020-04-28_17-16-54_{seed}"


def write_logs(path, logs, **others):
    """A zip of logs; `others` are further members, name -> text."""
    with zipfile.ZipFile(path, "w") as archive:
        for seed, content in enumerate(logs):
            archive.writestr(f"{name_of(content, seed)}.json", json.dumps(content))
        for name, text in others.items():
            archive.writestr(name.replace("__", "."), text)
    return path


def real_logs(folder):
    """Name -> log, of the published zip."""
    with zipfile.ZipFile(folder / WIKITEXT2) as archive:
        return {
            name.removesuffix(".json"): json.loads(archive.read(name))
            for name in archive.namelist()
            if name.endswith(".json")
        }
