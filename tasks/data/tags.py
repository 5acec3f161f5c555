"""Tag schemes: from the tags of a sentence to its spans and back.

A span is read as conlleval (Tjong Kim Sang, CoNLL-2000) reads it: an inside tag that continues nothing begins a
span. Schemes differ in what they allow, not in what a span is:

- IOB1: `I-` begins a span, `B-` only one that directly follows another of its type.
- IOB2: `B-` begins every span.
- BIOES (BIOEU, BMES: `M` for `I`): also `E-` for the last and `S-` for the only token of a span.
- BILOU: `L` for `E` and `U` for `S`.
- IO: types without prefix and `O`; tokens of one type in a row are one span.
- Other tags without these prefixes label single tokens, such as parts of speech.

Tags are also spelt otherwise: `B_PER`, `PER-B`, `b-per`, or `B`, `I` and `O` alone where there is one type.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

Span: TypeAlias = tuple[int, int, str]
"""First token, the token after the last, type."""
Scheme: TypeAlias = Literal["IOB1", "IOB2", "BIOES", "BILOU", "IO", "tokens"]

SYNONYMS: dict[str, Scheme] = {"BIO": "IOB2", "IOBES": "BIOES", "BIOUL": "BILOU"}
"""Other common names of schemes."""

OUTSIDE = "O"
_TAG = re.compile(r"([BIESLUMW])-(.+)", re.DOTALL)
_SINGLE, _LAST, _INSIDE = frozenset("SUW"), frozenset("EL"), frozenset("IMEL")
_SPELLINGS = (
    re.compile(r"(?P<prefix>[BIESLUMWbieslumw])[-_:](?P<type>.+)", re.DOTALL),
    re.compile(r"(?P<type>.+)[-_:](?P<prefix>[BIESLUMW])", re.DOTALL),
    re.compile(r"(?P<prefix>[BIESLUMW])"),
)
_OUTSIDE_TAGS = frozenset({OUTSIDE, "o"})
ONLY_TYPE = "span"
"""Type of spans whose tags have none."""


@dataclass(frozen=True)
class Repair:
    """A tag that its scheme does not allow where it stands.

    Attributes:
        position: Of the token in its sentence, from 0.
        tag: The tag.
        fault: What is wrong, as the end of a sentence.
    """

    position: int
    tag: str
    fault: str


def is_of_spans(tag: str) -> bool:
    """Whether a tag has one of the prefixes and a type, such as `B-person`."""
    return _TAG.fullmatch(tag) is not None


def respell(tags: Collection[str]) -> dict[str, str]:
    """Read tags of spans that are spelt otherwise than `B-type`.

    Args:
        tags: All different tags of a corpus.

    Returns:
        Tag -> tag as the functions here read it; nothing where tags are spelt so already, or are not of spans.
    """
    inside = set(tags) - _OUTSIDE_TAGS
    if not inside or all(map(is_of_spans, inside)):
        return {}
    for spelling in _SPELLINGS:
        found = {tag: match for tag in inside if (match := spelling.fullmatch(tag))}
        prefixes = {match["prefix"].upper() for match in found.values()}
        typed = "type" in spelling.groupindex
        # Tags of tokens may look so one by one (`S`, `NN_B`), but not with `O`, or as a whole set.
        has_outside = bool(_OUTSIDE_TAGS & set(tags))
        sure = ("B" in prefixes and (has_outside or (not typed and len(prefixes) > 1))) or (
            prefixes == {"I"} and has_outside
        )
        if len(found) == len(inside) and sure:
            kinds = {tag: match["type"] if typed else ONLY_TYPE for tag, match in found.items()}
            spelt = {tag: f"{match['prefix'].upper()}-{kinds[tag]}" for tag, match in found.items()}
            return {**spelt, **dict.fromkeys(_OUTSIDE_TAGS & set(tags), OUTSIDE)}
    return {}


def detect_scheme(sentences: Iterable[Sequence[str]]) -> Scheme:
    """Say in which scheme tags are written; IOB2 where nothing tells.

    Where a tag other than `O` has no prefix, tags are those of tokens, or IO if `O` is the most frequent one.
    A corpus counts as IOB1 if more of its spans begin with `I-` than with a `B-` that IOB1 would not have set.
    """
    counts: Counter[str] = Counter()
    by_inside = by_begin = 0
    for tags in sentences:
        counts.update(tags)
        before = OUTSIDE
        for tag in tags:
            if tag != OUTSIDE and (before == OUTSIDE or before[2:] != tag[2:]):
                by_inside += tag.startswith("I-")
                by_begin += tag.startswith("B-")
            before = tag
    matches = {tag: _TAG.fullmatch(tag) for tag in counts if tag != OUTSIDE}
    prefixes = {match[1] for match in matches.values() if match}
    if not all(matches.values()):
        is_io = not prefixes and counts[OUTSIDE] == max(counts.values())
        return "IO" if is_io else "tokens"
    if prefixes & {"L", "U"}:
        return "BILOU"
    if prefixes & {"E", "S", "M", "W"}:
        return "BIOES"
    return "IOB1" if by_inside > by_begin else "IOB2"


def read_spans(tags: Sequence[str], scheme: Scheme) -> tuple[list[Span], list[Repair]]:
    """Read the spans of a sentence.

    Args:
        tags: One for each token.
        scheme: How they are written; for `tokens` each token is a span of its own.

    Returns:
        The spans from left to right, and what the scheme does not allow.

    Raises:
        ValueError: A tag that is not one of a span scheme.
    """
    if scheme == "tokens":
        return [(position, position + 1, tag) for position, tag in enumerate(tags)], []
    if scheme == "IO":
        tags = [tag if tag == OUTSIDE else f"I-{tag}" for tag in tags]
        scheme = "IOB1"
    spans: list[Span] = []
    repairs: list[Repair] = []
    start, kind, before, closed = 0, "", OUTSIDE, True
    for position, tag in enumerate([*tags, OUTSIDE]):
        prefix, label = _split(tag)
        continues = bool(kind) and prefix in _INSIDE and label == kind and not closed
        if position < len(tags):
            fault = _fault(before, tag, prefix, label, scheme)
            if fault:
                repairs.append(Repair(position, tag, fault))
        if kind and not continues:
            spans.append((start, position, kind))
            kind = ""
        if label and not continues:
            start, kind = position, label
        closed = prefix in _LAST or prefix in _SINGLE
        before = tag
    return spans, repairs


def strict_spans(tags: Sequence[str], scheme: Scheme) -> list[Span]:
    """Read the spans of a sentence as seqeval's strict mode does: what the scheme forbids is not a span.

    Args:
        tags: One for each token.
        scheme: `IOB2` or `BIOES`.
    """
    spans: list[Span] = []
    start: int | None = None
    kind = ""
    for position, tag in enumerate([*tags, OUTSIDE]):
        prefix, label = _split(tag)
        if start is not None and (prefix not in ("I", "E") or label != kind):
            if scheme == "IOB2":
                spans.append((start, position, kind))
            start = None
        if prefix == "B":
            start, kind = position, label
        elif prefix == "S":
            spans.append((position, position + 1, label))
        elif prefix == "E" and start is not None:
            spans.append((start, position + 1, kind))
            start = None
    return spans


def write_iob2(length: int, spans: Iterable[Span]) -> tuple[str, ...]:
    """Write spans as IOB2 tags; the inverse of `read_spans`.

    Args:
        length: Tokens in the sentence.
        spans: In any order.

    Raises:
        ValueError: A span that is empty, has no type, leaves the sentence, or overlaps another.
    """
    tags = [OUTSIDE] * length
    for start, end, kind in spans:
        if not kind or not 0 <= start < end <= length:
            raise ValueError(f"{(start, end, kind)} is not a span of a sentence of {length} tokens")
        if any(tag != OUTSIDE for tag in tags[start:end]):
            raise ValueError(f"the span {(start, end, kind)} overlaps another")
        tags[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return tuple(tags)


@lru_cache(maxsize=4096)
def _split(tag: str) -> tuple[str, str]:
    if tag == OUTSIDE:
        return "", ""
    match = _TAG.fullmatch(tag)
    if not match:
        raise ValueError(f"{tag!r:.40} is not a tag of spans, such as O, B-type or I-type")
    return match[1], match[2]


def _fault(before: str, tag: str, prefix: str, label: str, scheme: Scheme) -> str:
    """Say what is wrong with `tag` after `before` (`O` at the start of a sentence), or nothing."""
    inside_before = before != OUTSIDE and before[2:] == label and before[0] not in _LAST | _SINGLE
    if prefix in _INSIDE and scheme != "IOB1" and not inside_before:
        place = f"stands after {before!r:.40} or at the start of a sentence"
        return f"{place}; a span begins with 'B-{label}' ({scheme})"
    return ""
