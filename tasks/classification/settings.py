"""What can be set about labelled texts and the classifier around a cell, and what it is measured in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellzoo.errors import CellzooError
from tasks.data.catalog import find_set
from tasks.embeddings.features import declared
from tasks.equal_terms import EqualTerms
from tasks.metric import Metric
from tasks.settings import Count, Probability, Size

if TYPE_CHECKING:
    from tasks.data.catalog import Measure
    from tasks.embeddings.features import Feature

TITLES: dict[Measure, str] = {
    "accuracy": "accuracy (%)",
    "f1": "F1 (%)",
    "mcc": "Matthews correlation (x 100)",
    "pearson": "Pearson correlation (x 100)",
    "spearman": "Spearman correlation (x 100)",
}
MISMATCHED = "mismatched_accuracy"


class ClassificationSettings(EqualTerms):
    """The data, and the classifier around the cell.

    Attributes:
        corpus: A data set of examples, such as `rte`.
        vectors: Word vectors by name, such as `glove-6b-50d`; empty for word vectors that are trained from
            scratch.
        features: All that is read of each word, in place of `vectors`: parts joined by `+`, see
            `tasks.embeddings.features`; at most one of them a table of word vectors, and none `char`.
        train_vectors: Whether pretrained vectors are trained further.
        word_size: Size of a word's vector, where they are trained from scratch.
        word_min_count: Words that are rarer in the training data share one vector, where they are trained from
            scratch.
        vocabulary_size: Take only so many words, the most frequent ones of the training data; 0 takes all.
        max_length: Words of a text after which it is cut.
        train_examples: Take only so many examples from the start of the training data; 0 takes all.
        choose_on: What the epoch is chosen on. `inner-dev`: a part of train that is not trained on, so that
            dev is only reported. `dev`: the dev set that is also reported, as many papers have it; the results
            are then `dev selected`.
        inner_dev: Share of train that becomes inner dev.
        inner_dev_seed: Decides which examples these are, the same for all cells and seeds.
        predict_test: Whether the test files without labels, where they are there, and MNLI's diagnostic set are
            predicted, for `cellzoo glue --submission`.
        hidden_size: H of the recurrent layer, for each direction.
        layers: Recurrent layers.
        bidirectional: Whether the recurrent layer runs in both directions.
        pooling: What stands for a text: the largest value of each unit over its words, their mean, or the last
            states.
        cross_attention: Pairs: whether each word is compared with what it attends to in the other text.
            Without it, RTE and QNLI stay at chance for every cell.
        mlp_size: Units of the hidden layer above.
        dropout: Dropout on word vectors, on what stands for texts, and on the hidden layer.
        layer_dropout: Dropout between recurrent layers.
        dropout_x: Variational dropout on the cell's input.
        dropout_h: Variational dropout on the cell's states.
        init: `uniform`: the cell's weights start uniform in ±1 / sqrt(H). `published`: as its cell file
            says, where that says something.
        batch_size: Examples of a training step.
        validation_batch_size: Examples of a step that architectures learn from.
    """

    corpus: str = ""
    vectors: str = ""
    features: str = ""
    train_vectors: bool = False
    word_size: Size = 100
    word_min_count: Size = 2
    vocabulary_size: Count = 0
    max_length: Size = 128
    train_examples: Count = 0
    choose_on: Literal["inner-dev", "dev"] = "inner-dev"
    inner_dev: Probability = 0.1
    inner_dev_seed: Count = 0
    predict_test: bool = True
    hidden_size: Size = 256
    layers: Size = 1
    bidirectional: bool = True
    pooling: Literal["max", "mean", "last"] = "max"
    cross_attention: bool = True
    mlp_size: Size = 256
    dropout: Probability = 0.2
    layer_dropout: Probability = 0.0
    dropout_x: Probability = 0.0
    dropout_h: Probability = 0.0
    init: Literal["uniform", "published"] = "uniform"
    batch_size: Size = 32
    validation_batch_size: Size = 32

    @property
    def declared(self) -> tuple[Feature, ...]:
        """What is read of each word.

        Raises:
            CellzooError: Characters, or several tables of word vectors, are asked for.
        """
        found = declared(self.features, self.vectors, 0)
        if len([one for one in found if one.kind in ("words", "vectors")]) > 1:
            raise CellzooError(
                f"features {self.features!r}: a classifier has one table of word vectors at most"
            )
        return found


def metrics_of(corpus: str) -> tuple[Metric, ...]:
    """What results on a data set are measured in; where there are two, their mean, as in GLUE, comes first.

    Raises:
        CellzooError: It is not a data set of examples.
    """
    data_set = find_set(corpus)
    if data_set.table is None:
        raise CellzooError(
            f"corpus {corpus!r} has the format {data_set.format!r}; expected a data set of examples"
        )
    names = data_set.table.metrics
    metrics = [Metric(name, TITLES[name], higher_is_better=True) for name in names]
    if len(names) > 1:
        title = f"mean of {' and '.join(TITLES[name].partition(' (')[0] for name in names)} (x 100)"
        metrics.insert(0, Metric("score", title, higher_is_better=True))
    if "dev_mismatched" in data_set.files:
        metrics.append(Metric(MISMATCHED, "mismatched accuracy (%)", higher_is_better=True))
    return tuple(metrics)
