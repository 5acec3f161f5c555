"""The gazetteers of the small NER corpus: invented names, and who may see which.

Names are put together from stems and endings written for this project. A large part of them, the
`shared` names, can be a surname, a town, a company or a product: only the sentence tells.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from random import Random

_FIRST = """
    Adela Alrik Amadou Anouk Arlo Aveline Bastian Berit Bodil Bram Calla Caspian Celeste Corwin Dagny Darya
    Desmond Edda Elio Elspeth Emrys Esme Fabian Farida Fenna Florian Gideon Greta Halina Hanno Hester Ilse
    Imran Ines Isolde Jarek Jorun Juno Kalle Katya Kenji Lamin Leonie Linus Lotte Magda Malik Marisol Mattis
    Merle Mirela Nadim Nerys Nils Odette Olwen Orla Osman Pavel Petra Quentin Ragna Ravi Rosalind Rufus
    Sabine Samir Selma Sigrid Soren Tamsin Teodor Thandi Tilda Ulrich Usha Valter Vera Wanda Willem Xenia
    Yannick Yusuf Zelda
"""
_STEMS = """
    Ald Ash Bard Bel Birk Brans Brin Cald Carr Chel Cran Dal Dray Dun Elm Fal Fen Garr Gil Hal Harn Hest
    Ing Kel Kir Lang Lor Mal Mer Nor Ock Orm Pem Pres Rad Ros Sal Sel Stan Swin Tarn Thorn Tre Ul Var Wel Wyn
"""
_SHARED_ENDINGS = "brook dale den field ford ham ley lock more stead ton well wick worth"
_SURNAME_ENDINGS = "akis berg escu ich ino mann ova quist sen ski stein vic"
_TOWN_ENDINGS = "borough bridge burgh cliffe haven minster mouth pool port thorpe"
_COINED_STEMS = """
    Alt Arc Bryt Cen Cor Dex Elon Exo Fyn Gal Hel Ix Jun Kor Lum Max Myr Neo Nov Oct Omn Pax Pyr Quor
    Rav Sol Syn Tal Tek Ul Vel Vex Vor Xan Yol Zen Zyr
"""
_MAKER_ENDINGS = "acom aris atek elis era ica inor onix ora ovia"
_MODEL_ENDINGS = "a ado eo i ia ino ix o on una"


def _built(stems: str, endings: str) -> tuple[str, ...]:
    return tuple(stem + ending for stem, ending in product(stems.split(), endings.split()))


NAMES: Mapping[str, tuple[str, ...]] = {
    "first": tuple(_FIRST.split()),
    "shared": _built(_STEMS, _SHARED_ENDINGS),
    "surname": _built(_STEMS, _SURNAME_ENDINGS),
    "town": _built(_STEMS, _TOWN_ENDINGS),
    "maker": _built(_COINED_STEMS, _MAKER_ENDINGS),
    "model": _built(_COINED_STEMS, _MODEL_ENDINGS),
}

# kind of entity -> forms of its name; each word is a key of NAMES or is written as it stands
FORMS: Mapping[str, tuple[str, ...]] = {
    "person": (
        "@first @surname",
        "@first @shared",
        "@first @shared",
        "@first @first @shared",
        "@surname",
        "@shared",
        "@shared",
        "@first",
    ),
    "location": (
        "@town",
        "@town",
        "@shared",
        "@shared",
        "Port @shared",
        "@shared Bay",
        "North @shared",
        "@first Street",
        "Mount @surname",
        "@shared upon @shared",
    ),
    "organisation": (
        "@maker",
        "@maker",
        "@shared",
        "@shared",
        "@town",
        "@surname & Sons",
        "@shared Rovers",
        "@town Council",
        "University of @town",
        "Bank of @shared",
        "@shared Steel",
        "@first @shared Foundation",
    ),
    "product": (
        "@model",
        "@model",
        "@shared",
        "@model 3",
        "@model 500",
        "@maker @model",
        "@shared Mini",
        "@shared @model",
        "@first",
    ),
}


class Names:
    """Draws names for one split.

    Args:
        seen: Names that train may use, by kind.
        unseen: Names of this split alone, by kind; empty for train.
        share: How often a name is drawn from `unseen`.
    """

    def __init__(
        self, seen: Mapping[str, tuple[str, ...]], unseen: Mapping[str, tuple[str, ...]], share: float
    ) -> None:
        self._seen = seen
        self._unseen = unseen
        self._share = share

    def entity(self, kind: str, rng: Random) -> list[str]:
        """Name an entity of `kind` by one of its forms."""
        return self._fill(pick(rng, FORMS[kind]), rng)

    def ambiguous(self, rng: Random) -> list[str]:
        """Name an entity so that the name does not tell its kind."""
        return self._fill("@shared", rng)

    def _fill(self, form: str, rng: Random) -> list[str]:
        fresh = rng.random() < self._share
        words: list[str] = []
        for word in form.split():
            if not word.startswith("@"):
                words.append(word)
            elif fresh:
                words.append(pick(rng, self._unseen[word[1:]]))
            else:
                words.append(_pick_early(rng, self._seen[word[1:]]))
        return words


def divide(rng: Random) -> tuple[dict[str, tuple[str, ...]], ...]:
    """Divide all names, disjointly: 60 % that every split may use, 12 % for dev, 28 % for test."""
    parts: tuple[dict[str, tuple[str, ...]], ...] = ({}, {}, {})
    for kind, names in NAMES.items():
        order = _shuffled(rng, names)
        first, second = round(0.60 * len(order)), round(0.72 * len(order))
        for part, chosen in zip(parts, (order[:first], order[first:second], order[second:]), strict=True):
            part[kind] = tuple(chosen)
    return parts


def pick(rng: Random, items: tuple[str, ...]) -> str:
    """Draw one item evenly, by `Random.random` alone: it is the one method that Python keeps stable."""
    return items[int(rng.random() * len(items))]


def _pick_early(rng: Random, items: tuple[str, ...]) -> str:
    """Draw one item, early ones far more often, so that train has frequent names and single ones."""
    draw = rng.random()
    return items[int(draw * draw * draw * len(items))]


def _shuffled(rng: Random, items: Iterable[str]) -> list[str]:
    return [item for _, item in sorted((rng.random(), item) for item in items)]
