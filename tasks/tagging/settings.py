"""What can be set about a tagged corpus and the tagger around a recurrent layer, and what it is measured in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from tasks.data.conll import Comments
from tasks.data.tags import Scheme
from tasks.embeddings.features import declared
from tasks.equal_terms import EqualTerms
from tasks.metric import Metric
from tasks.settings import Count, Probability, Size

if TYPE_CHECKING:
    from tasks.embeddings.features import Feature

TagFormat: TypeAlias = Literal["BIOES", "BIO"]

METRICS = (
    Metric("f1", "F1, conlleval (%)", higher_is_better=True),
    Metric("precision", "precision, conlleval (%)", higher_is_better=True),
    Metric("recall", "recall, conlleval (%)", higher_is_better=True),
    Metric("seqeval_f1", "F1, seqeval (%)", higher_is_better=True),
    Metric("strict_f1", "F1, seqeval strict (%)", higher_is_better=True),
)
TOKEN_METRICS = (Metric("accuracy", "accuracy of tags (%)", higher_is_better=True),)
"""Of corpora whose settings say that tags label single tokens, such as parts of speech."""


class TaggingSettings(EqualTerms):
    """The data, and the tagger around the cell; the defaults of the tagger are Flair's for a BiRNN-CRF.

    Attributes:
        corpus: A tagged corpus: the name of a data set, or `conll:FILES`.
        text_column: Column of the token in its files, from 0; None as its data set says. The three settings
            below likewise.
        tag_column: Column of the tag, negative from the end.
        scheme: In which its tags are written; None recognises it. `tokens`: tags label single tokens, as parts
            of speech do, and accuracy is measured.
        comments: `detect` recognises comment lines; at the start of a sentence every line with `#` is one
            (`all`), or none is (`none`).
        tags: `repair` reads tags that their scheme does not allow as conlleval does, `strict` refuses them.
        encoding: Of the text.
        vectors: Word vectors by name, such as `glove-6b-50d` or `glove:FILE`, which stay as they are; empty for
            word vectors that are trained from scratch.
        features: All that is read of each token, in place of `vectors` and characters: parts joined by `+`, see
            `tasks.embeddings.features`.
        word_size: Size of a word's vector, where they are trained.
        word_min_count: Words that are rarer in the training data share one vector, where they are trained.
        character_size: Size of a character's vector.
        character_hidden: Size of the character LSTM, for each direction; 0 leaves characters out.
        train_sentences: Take only so many sentences from the start of the training data; 0 takes all.
        dev_sentences: The same of dev.
        train_with_dev: Whether dev is trained on as well, as in some published results. Dev then chooses
            nothing that holds for other texts: take the last weights (`restore_best = false`).
        hidden_size: H of the recurrent layer, for each direction.
        layers: Recurrent layers.
        bidirectional: Whether the recurrent layer runs in both directions.
        crf: Conditional random field if true, else a softmax for each token.
        tag_format: How spans become tags within the tagger.
        reproject: A linear layer of size E x E between features and recurrent layer.
        dropout: Dropout on features and on the recurrent layer's output.
        word_dropout: Share of words whose features are dropped as a whole.
        locked_dropout: Dropout with one mask a sequence, on features and on the recurrent layer's output.
        layer_dropout: Dropout between recurrent layers.
        dropout_x: Variational dropout on the cell's input.
        dropout_h: Variational dropout on the cell's states.
        init: `uniform`: the cell's weights start uniform in ±1 / sqrt(H). `published`: as its cell file
            says, where that says something.
        batch_size: Sentences of a training step.
        validation_batch_size: Sentences of a step that architectures learn from.
    """

    corpus: str = ""
    text_column: int | None = None
    tag_column: int | None = None
    scheme: Scheme | None = None
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
        """What is read of each token."""
        return declared(self.features, self.vectors, self.character_hidden)


def metrics_of(settings: TaggingSettings) -> tuple[Metric, ...]:
    """What results are measured in; the first chooses the epoch."""
    return TOKEN_METRICS if settings.scheme == "tokens" else METRICS
