"""Settings and metrics of the problem kind `classification`."""

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
        vectors: Pretrained word vectors by name, such as `glove-6b-50d`; empty for word vectors that are
            trained from scratch.
        features: All features of a word, in place of `vectors`: parts joined by `+`, see
            `tasks.embeddings.features`; at most one table of word vectors, and no `char`.
        train_vectors: Whether pretrained vectors are trained further.
        word_size: Size of word vectors that are trained from scratch.
        word_min_count: Words with fewer occurrences in the training data share one vector, if vectors are
            trained from scratch.
        vocabulary_size: Size of the vocabulary: the most frequent words of the training data; 0 for all.
        max_length: Maximum number of words of a text; longer ones are truncated.
        train_examples: Number of examples to use from the start of the training data; 0 for all.
        choose_on: Where the best epoch is selected. `inner-dev`: on a held-out part of train, so that dev is
            only reported. `dev`: on the dev set that is also reported, as in many papers; the results are then
            marked `dev selected`.
        inner_dev: Share of train that is held out as inner dev.
        inner_dev_seed: Seed of the choice of these examples, the same for all cells and seeds.
        predict_test: Whether to predict the test files without labels, if there are any, and MNLI's diagnostic
            set, for `cellzoo glue --submission`.
        hidden_size: H of the recurrent layer, for each direction.
        layers: Recurrent layers.
        bidirectional: Whether the recurrent layer runs in both directions.
        pooling: How the states of a text become one vector: `max` or `mean` over its words, or the `last` ones.
        cross_attention: For pairs: whether each word attends to the other text. Without it, RTE and QNLI stay
            at chance for every cell.
        mlp_size: Units of the hidden layer of the head.
        dropout: Dropout on word vectors, on pooled texts, and on the hidden layer.
        layer_dropout: Dropout between recurrent layers.
        dropout_x: Variational dropout on the cell's input.
        dropout_h: Variational dropout on the cell's states.
        init: `uniform`: the cell's weights start uniform in ±1 / sqrt(H). `published`: as given in the cell
            file, if it has an initialisation.
        batch_size: Examples per training step.
        validation_batch_size: Examples per step that trains the architecture in a search.
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
        """The features of a word.

        Raises:
            CellzooError: The features include characters or several tables of word vectors.
        """
        found = declared(self.features, self.vectors, 0)
        if len([one for one in found if one.kind in ("words", "vectors")]) > 1:
            raise CellzooError(
                f"features {self.features!r}: a classifier has one table of word vectors at most"
            )
        return found


def metrics_of(corpus: str) -> tuple[Metric, ...]:
    """List the metrics of a data set; if there are several, their mean comes first, as in GLUE.

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
