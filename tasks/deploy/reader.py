"""Run a deployed tagger or classifier; needs numpy and onnxruntime, but not torch.

tagger = load("tagger.onnx")
tagger.tags(["Ada", "is", "in", "Paris"])       # ["S-person", "O", "O", "S-location"]
classifier = load("classifier.onnx")
classifier.label("a charming journey")          # "positive"
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cellzoo.errors import CellzooError, DataError
from cellzoo.system.extras import require
from tasks.deploy.reading import PROPERTY, Description, Numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from tasks.data.tags import Span


class DeployedTagger:
    """A tagger that runs in onnxruntime.

    Args:
        session: An `onnxruntime.InferenceSession`.
        description: The metadata of its file.
    """

    def __init__(self, session: Any, description: Description) -> None:
        self.description = description
        self._session = session
        self._inputs = [Numbers(described) for described in description.inputs]

    def tags(self, tokens: Sequence[str]) -> list[str]:
        """Tag the tokens of a sentence.

        Raises:
            CellzooError: A text is given in place of its tokens, or a token is empty or not a text.
        """
        if isinstance(tokens, str):
            raise CellzooError(f"{tokens!r:.60} is a text; expected the list of its tokens")
        tokens = list(tokens)
        if not tokens:
            return []
        for number, token in enumerate(tokens):
            if not isinstance(token, str) or not token:
                raise CellzooError(
                    f"token {number} is {token!r:.60}; expected a text of at least one character"
                )
        (found,) = self._session.run(["tags"], {one.name: one(tokens) for one in self._inputs})
        return [self.description.labels[tag] for tag in found.tolist()]

    def spans(self, tokens: Sequence[str]) -> list[Span]:
        """Find the spans of a sentence: index of the first token, index after the last one, type.

        Raises:
            CellzooError: As for `tags`.
        """
        from tasks.data.tags import read_spans

        return read_spans(self.tags(tokens), self.description.scheme)[0]


class DeployedClassifier:
    """A classifier that runs in onnxruntime.

    Args:
        session: An `onnxruntime.InferenceSession`.
        description: The metadata of its file.
    """

    def __init__(self, session: Any, description: Description) -> None:
        self.description = description
        self._session = session
        self._words = Numbers(description.inputs[0])

    def scores(self, first: str, second: str | None = None) -> np.ndarray:
        """Score the classes of a text, or of a pair of texts, (classes,).

        Raises:
            CellzooError: A pair is given to a classifier of single texts, or one text to one of pairs.
        """
        is_pairs = self.description.task == "pairs"
        if is_pairs == (second is None):
            raise CellzooError(f"this classifier reads {'pairs of texts' if is_pairs else 'single texts'}")
        feed = {"first": self._read(first)}
        if second is not None:
            feed["second"] = self._read(second)
        found: np.ndarray = self._session.run(["scores"], feed)[0]
        return found

    def label(self, first: str, second: str | None = None) -> str | float:
        """Return the name of the predicted class of a text or pair, or its score; errors as in `scores`."""
        scores = self.scores(first, second)
        labels = self.description.labels
        return labels[int(scores.argmax())] if labels else float(scores[0])

    def _read(self, text: str) -> np.ndarray:
        from tasks.classification.texts import words_of

        return self._words(words_of(text)[: self.description.max_length or None])


def load(path: Path | str, *, threads: int = 1) -> DeployedTagger | DeployedClassifier:
    """Open a file that `cellzoo export` wrote.

    Args:
        path: The file.
        threads: Number of threads of onnxruntime.

    Raises:
        MissingDependencyError: The package onnxruntime is not installed.
        DataError: The file is missing, damaged, or not an exported tagger or classifier.
    """
    require("onnxruntime", "export")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if not Path(path).is_file():
        raise DataError(f"{path}: is not there; expected a file that `cellzoo export` wrote")
    try:
        session = onnxruntime.InferenceSession(Path(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many unrelated classes
        raise DataError(f"{path}: is not a whole ONNX file ({str(error).splitlines()[0]:.160})") from error
    text = session.get_modelmeta().custom_metadata_map.get(PROPERTY)
    if text is None:
        raise DataError(f"{path}: is not a whole model, which `cellzoo export` writes (no {PROPERTY!r} in it)")
    try:
        description = Description.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {PROPERTY!r} in its metadata: {place}: {first['msg']}") from error
    kind = DeployedTagger if description.task == "tagging" else DeployedClassifier
    return kind(session, description)
