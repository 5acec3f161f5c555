"""Settings and metrics of the problem kind `tagging`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BeforeValidator

from tasks.data.conll import Comments
from tasks.data.tags import SYNONYMS, Scheme
from tasks.embeddings.features import declared
from tasks.equal_terms import EqualTerms
from tasks.metric import Metric
from tasks.settings import Count, Probability, Size

if TYPE_CHECKING:
    from tasks.embeddings.features import Feature

NamedScheme: TypeAlias = Annotated[
    Scheme, BeforeValidator(lambda name: SYNONYMS.get(name, name) if isinstance(name, str) else name)
]
TagFormat: TypeAlias = Literal["BIOES", "BIO"]

METRICS = (
    Metric("f1", "F1, conlleval (%)", higher_is_better=True),
    Metric("precision", "precision, conlleval (%)", higher_is_better=True),
    Metric("recall", "recall, conlleval (%)", higher_is_better=True),
    Metric("seqeval_f1", "F1, seqeval (%)", higher_is_better=True),
    Metric("strict_f1", "F1, seqeval strict (%)", higher_is_better=True),
)
TOKEN_METRICS = (Metric("accuracy", "accuracy of tags (%)", higher_is_better=True),)
"""Metrics for corpora whose tags label single tokens, such as parts of speech."""


class TaggingSettings(EqualTerms):
    """The data, and the tagger around the cell; the defaults of the tagger are Flair's for a BiRNN-CRF.

    Attributes:
        corpus: A tagged corpus: the name of a data set, or `conll:FILES`.
        text_column: Column of the token in its files, from 0; None takes the default of the data set, as in
            the settings below.
        tag_column: Column of the tag; negative numbers count from the end.
        scheme: Tagging scheme of the files; None detects it; `BIO` is read as `IOB2`. `tokens`: tags label
            single tokens, such as parts of speech, and the metric is the accuracy.
        comments: `detect` recognises comment lines; `all` takes every line with `#` at the start of a sentence
            for a comment, `none` takes none.
        tags: `repair` reads tags that are invalid in their scheme as conlleval does, `strict` refuses them.
        encoding: Encoding of the text.
        vectors: Pretrained word vectors by name, such as `glove-6b-50d` or `glove:FILE`, which are not trained
            further; empty for word vectors that are trained from scratch.
        features: All features of a token, in place of `vectors` and characters: parts joined by `+`, see
            `tasks.embeddings.features`.
        word_size: Size of trained word vectors.
        word_min_count: Words with fewer occurrences in the training data share one trained vector.
        character_size: Size of a character's vector.
        character_hidden: Size of the character LSTM, for each direction; 0 leaves characters out.
        train_sentences: Number of sentences to use from the start of the training data; 0 for all.
        dev_sentences: The same for dev.
        train_with_dev: Whether to train on dev as well, as some published results do. Scores on dev then do not
            generalise to other data: use the last weights (`restore_best = false`).
        hidden_size: H of the recurrent layer, for each direction.
        layers: Recurrent layers.
        bidirectional: Whether the recurrent layer runs in both directions.
        crf: Whether the output layer is a conditional random field; otherwise a softmax for each token.
        tag_format: Tagging scheme within the tagger.
        reproject: Whether a linear layer of size E x E follows the features.
        dropout: Dropout on features and on the recurrent layer's output.
        word_dropout: Probability of dropping all features of a word.
        locked_dropout: Dropout with one mask per sequence, on features and on the recurrent layer's output.
        layer_dropout: Dropout between recurrent layers.
        dropout_x: Variational dropout on the cell's input.
        dropout_h: Variational dropout on the cell's states.
        init: `uniform`: the cell's weights start uniform in ±1 / sqrt(H). `published`: as given in the cell
            file, if it has an initialisation.
        batch_size: Sentences per training step.
        validation_batch_size: Sentences per step that trains the architecture in a search.
    """

    corpus: str = ""
    text_column: int | None = None
    tag_column: int | None = None
    scheme: NamedScheme | None = None
    comments: Comments | None = None
    tags: Literal["repair", "strict"] | None = None
    encoding: str | None = None
    vectors: str = ""
    features: str = ""
    word_size: Size = 100
    word_min_count: Size = 2
    character_size: Size = 25
    character_hidden: Count = 25
    train_sentences: Count = 0
    dev_sentences: Count = 0
    train_with_dev: bool = False
    hidden_size: Size = 256
    layers: Size = 1
    bidirectional: bool = True
    crf: bool = True
    tag_format: TagFormat = "BIOES"
    reproject: bool = True
    dropout: Probability = 0.0
    word_dropout: Probability = 0.05
    locked_dropout: Probability = 0.5
    layer_dropout: Probability = 0.5
    dropout_x: Probability = 0.0
    dropout_h: Probability = 0.0
    init: Literal["uniform", "published"] = "uniform"
    batch_size: Size = 32
    validation_batch_size: Size = 32

    @property
    def declared(self) -> tuple[Feature, ...]:
        """The features of a token."""
        return declared(self.features, self.vectors, self.character_hidden)


def metrics_of(settings: TaggingSettings) -> tuple[Metric, ...]:
    """List the metrics; the first one selects the best epoch."""
    return TOKEN_METRICS if settings.scheme == "tokens" else METRICS
