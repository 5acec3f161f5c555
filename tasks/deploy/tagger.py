"""Export a tagger as one ONNX file: lookups, characters, recurrent layer, decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flair.embeddings import OneHotEmbeddings, WordEmbeddings

from cellzoo.errors import CellzooError
from cellzoo.export.onnx_graph import OnnxGraph
from cellzoo.export.onnx_model import model_of, write_model
from tasks.deploy.parts import LETTERS, WORDS, best_tags, characters, integers, linear, look_up, recurrent
from tasks.deploy.reading import FLAIR_FORMS, PROPERTY, Description, Input
from tasks.embeddings.batch import parts
from tasks.embeddings.frozen import FrozenEmbeddings
from tasks.tagging.embeddings import CharacterFeatures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flair.data import Dictionary
    from flair.embeddings import TokenEmbeddings
    from onnx import ValueInfoProto

    from tasks.tagging.tagger import CellTagger


def export_tagger(tagger: CellTagger, path: Path) -> None:
    """Write a tagger as an ONNX file with inputs such as `words` and `characters`, and the output `tags`, (T,).

    Raises:
        CellzooError: Its features or its recurrent layer cannot be exported.
        OutputError: The file cannot be written.
    """
    graph = OnnxGraph()
    features = _Features(graph)
    value = features.add(tagger.embeddings)
    if tagger.reproject_embeddings:
        value = linear(graph, tagger.embedding2nn, value, "reprojected")
    if tagger.cell is None:
        raise CellzooError("only taggers around a cell can be deployed, such as rnn_type='cell:lstm'")
    start = list(tagger.initial_states.states) if tagger.train_initial_hidden_state else None
    value = recurrent(graph, tagger.rnn, value, "states", start=start)
    emissions = linear(graph, tagger.linear, value, "emissions")
    if tagger.use_crf:
        decoder = tagger.viterbi_decoder
        best_tags(graph, emissions, tagger.crf.transitions, decoder.start_tag, decoder.stop_tag, output="tags")
    else:
        graph.add("ArgMax", [emissions], "tags", axis=1, keepdims=0)
    description = Description(
        task="tagging",
        inputs=tuple(features.described),
        labels=tuple(_items(tagger.label_dictionary)),
        scheme=("BIOES" if tagger.tag_format == "BIOES" else "IOB2") if tagger.predict_spans else "tokens",
    )
    made = graph.finish("tagger", features.declared, [integers("tags", WORDS)])
    write_model(model_of(made, tagger.cell, {PROPERTY: description.model_dump_json()}), path)


class _Features:
    """Adds the features of tokens to a graph, and collects the inputs that they need.

    Args:
        graph: The graph to extend.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self._graph = graph
        self._stacks = 0
        self.described: list[Input] = []
        self.declared: list[ValueInfoProto] = []

    def add(self, embeddings: TokenEmbeddings) -> str:
        """Add all parts; returns the name of the concatenated features, (T, E)."""
        columns = dict(self._parts(embeddings))
        self._stacks += 1
        # `tasks.embeddings.batch.token_features` concatenates them in the same order.
        return self._graph.join([columns[name] for name in sorted(columns)], f"features.{self._stacks}", 1)

    def _parts(self, embeddings: TokenEmbeddings) -> Iterator[tuple[str, str]]:
        for part in parts(embeddings):
            if isinstance(part, FrozenEmbeddings):
                yield part.name, self.add(part.inner)
            else:
                yield part.name, self._part(part)

    def _part(self, part: Any) -> str:
        if type(part) is WordEmbeddings and part.layer_norm is None and part.field is None:
            words = sorted(part.vocab, key=part.vocab.__getitem__)
            numbers = self._input("words", items=tuple(words), forms=FLAIR_FORMS, unknown=len(words))
            return look_up(self._graph, part.embedding.weight, numbers, f"{numbers}.vectors")
        if type(part) is OneHotEmbeddings and part.layer_norm is None and part.field == "text":
            items = _items(part.vocab_dictionary)
            numbers = self._input("words", items=tuple(items), unknown=0)
            return look_up(self._graph, part.embedding_layer.weight, numbers, f"{numbers}.vectors")
        if type(part) is CharacterFeatures:
            numbers = self._input("characters", items=tuple(_items(part.dictionary)), unknown=0)
            return characters(self._graph, part, numbers, f"{numbers}.features")
        raise CellzooError(
            f"features {part.name!r}: {type(part).__name__} cannot be exported; word vectors, trained "
            "words and characters can"
        )

    def _input(self, kind: Any, **settings: Any) -> str:
        count = sum(described.kind == kind for described in self.described)
        name = f"{kind}_{count + 1}" if count else kind
        self.described.append(Input(name=name, kind=kind, **settings))
        shape = (WORDS, LETTERS) if kind == "characters" else (WORDS,)
        self.declared.append(integers(name, *shape))
        return name


def _items(dictionary: Dictionary) -> list[str]:
    found: list[str] = dictionary.get_items()
    return found
