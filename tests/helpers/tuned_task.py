"""A task that can be tuned and trains nothing."""

from __future__ import annotations

from fake_task import Fake

from cellzoo.errors import CellzooError
from tasks.metric import Metric
from tasks.tuning.space import Range


class Tuned(Fake):
    """The best rate of lstm is 0.8, that of others 0.2; a rate above 0.9 fails."""

    name = "tuned"
    tuning = {"rate": Range(low=0.0, high=1.0), "label": Range(choices=["a", "b"])}  # noqa: RUF012
    baselines = ("nothing",)

    def metrics(self, config):
        return (Metric("score", "score", True), Metric("dev_score", "dev score", True))

    def dev_metric(self, config):
        return self.metrics(config)[1]

    def run(self, config, subject, seed, context):
        if config.rate > 0.9:
            raise CellzooError("the loss is nan")
        outcome = super().run(config, subject, seed, context)
        dev = 1 - abs(config.rate - (0.8 if subject.name == "lstm" else 0.2))
        score = outcome.metrics["score"]
        return type(outcome)(**{**vars(outcome), "metrics": {"score": score, "dev_score": dev}})


class Reads(Fake):
    """Reads what a tuned run leaves."""

    name = "reads"
    after = "tuned_task:Tuned"
    leaves = ""
