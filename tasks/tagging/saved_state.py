"""The state dictionary of a saved `CellTagger`, which raises a clear error if it is loaded in a wrong way.

`flair.nn.Classifier.load` lists the imported model classes before it reads the file, so loading a model of a
class that is not imported fails with "Could not find any model". This dictionary records whether `CellTagger`
was imported when it was unpickled, and otherwise says what to import. `SequenceTagger.load` would build one of
Flair's own taggers from it; this raises an error, too.
"""

from __future__ import annotations

import sys
from typing import Any

from cellzoo.errors import CellzooError

_TAGGER = "tasks.tagging.tagger"


class TaggerState(dict[str, Any]):
    """The state of a model as Flair saves it: a dictionary with the class name under `__cls__`."""

    too_early = False

    def pop(self, key: str, *default: Any) -> Any:
        """Remove and return an entry, as `dict.pop`.

        Raises:
            CellzooError: Flair asks for the class, and `CellTagger` was not imported before the file was read.
        """
        if key == "__cls__" and self.too_early:
            raise CellzooError(
                "this file holds a CellTagger, which Flair can only find after it is imported: "
                "write `from tasks.tagging import CellTagger` before loading"
            )
        return super().pop(key, *default)

    def get(self, key: str, default: Any = None) -> Any:
        """Return an entry, as `dict.get`.

        Raises:
            CellzooError: `SequenceTagger` asks for its recurrent layer; `CellTagger` reads entries otherwise.
        """
        if key == "rnn_type":
            raise CellzooError(
                "this file holds a CellTagger; load it by CellTagger.load or flair.nn.Classifier.load, after "
                "`from tasks.tagging import CellTagger`"
            )
        return super().get(key, default)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (), None, None, iter(self.items())


def _restored() -> TaggerState:
    state = TaggerState()
    state.too_early = _TAGGER not in sys.modules
    return state
