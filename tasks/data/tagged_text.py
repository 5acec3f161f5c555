"""Tagged corpora in column files: known ones by name, and the user's own, in IOB2 or IOB1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from tasks.data.conll import parse_conll
from tasks.data.known import KNOWN, Generated
from tasks.data.own import split_items
from tasks.data.text_file import read_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.conll import TaggedSentence
    from tasks.data.found import FoundData
    from tasks.data.splits import Split

DOCUMENT_START = "-DOCSTART-"


def read_tagged(found: FoundData) -> dict[Split, Sequence[TaggedSentence]]:
    """Read a corpus: token in the first column, tag in the last.

    Args:
        found: What `locate.find` gave for a tagged corpus or for `conll:FILES`.

    Returns:
        Split -> sentences, tagged in IOB2. Where there is no dev file, dev is the last tenth of train.

    Raises:
        DataError: A file cannot be read or is malformed, or a split gets no sentence.
    """
    source = KNOWN[found.name].source if found.name in KNOWN else None
    texts = dict(source.texts()) if isinstance(source, Generated) else {}
    texts |= {role: read_text(path) for role, path in found.files.items()}
    names = {role: str(found.files.get(role, f"{found.name} {role}")) for role in texts}
    splits = split_items({role: parse_conll(iob2_text(text), names[role]) for role, text in texts.items()})
    for split, sentences in splits.items():
        if not sentences:
            raise DataError(
                f"{', '.join(names.values())}: the {split} split is empty. Take a corpus of at least 10 "
                "sentences, or give files of their own: TRAIN,DEV,TEST"
            )
    return splits


def iob2_text(text: str) -> str:
    """Write a column file in IOB2, line for line; one that is in IOB2 already comes back as it is.

    A file counts as IOB1, the scheme of the original CoNLL-2003 files, if more of its entities begin with `I-`
    than with a `B-` that IOB1 would not have set. Lines that begin a document (`-DOCSTART-`) become empty.
    """
    lines = ["" if line.startswith(DOCUMENT_START) else line for line in text.split("\n")]
    tags = [line.split()[-1] if line.strip() else "O" for line in lines]
    previous = ["O", *tags[:-1]]
    starts = [i for i, (before, tag) in enumerate(zip(previous, tags, strict=True)) if _begins(before, tag)]
    inner = [i for i in starts if tags[i].startswith("I-")]
    if 2 * len(inner) <= len(starts):
        return "\n".join(lines)
    for i in inner:
        head, _, rest = lines[i].rpartition(tags[i])
        lines[i] = f"{head}B-{tags[i][2:]}{rest}"
    return "\n".join(lines)


def _begins(before: str, tag: str) -> bool:
    """Whether an entity begins here that does not directly follow one of its own type."""
    return tag[:2] in {"I-", "B-"} and before[2:] != tag[2:]
