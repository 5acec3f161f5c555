"""The data sets that tasks can ask for: which files they are, and where those come from."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from tasks.data.small_ner.generate import texts as small_ner_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class InFolder:
    """Original files that the user keeps in a data folder.

    Attributes:
        files: Role -> path below the data folder.
        obtain: Where the files can be had, as the end of a sentence.
    """

    files: Mapping[str, str]
    obtain: str


@dataclass(frozen=True)
class InPackage:
    """Files that an installed package ships.

    Attributes:
        package: Import name of the package, also its name on the package index.
        extra: The extra of cellzoo that installs it.
        files: Role -> path below the package's folder.
    """

    package: str
    extra: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Generated:
    """Text that this project writes itself.

    Attributes:
        texts: Makes role -> text; always the same.
    """

    texts: Callable[[], Mapping[str, str]]


@dataclass(frozen=True)
class DataSet:
    """A data set that is known.

    Attributes:
        name: What tasks and commands call it.
        title: What a reader sees.
        terms: Licence, or who may use it.
        source: Where it is found.
        sha256: Role -> hex digest of the file (of the UTF-8 text, when generated).
    """

    name: str
    title: str
    terms: str
    source: InFolder | InPackage | Generated
    sha256: Mapping[str, str]


_DATA_SETS = (
    DataSet(
        name="small-ner",
        title="Small NER corpus, synthetic, written by this project",
        terms="as cellzoo",
        source=Generated(small_ner_texts),
        sha256={
            "train": "71cdb6f0827e01be4d4462cf2790fde32b982f5ff0cc2c078cb868bebb35df6e",
            "dev": "dcf85e61a706a8e3e8d10185e9dad7063827c6db96ee2b8d66914621f2154a2c",
            "test": "8f9a3ccea855e4471d56d140d04a116562d2309b7aa1a6cf3c201907659330de",
        },
    ),
    DataSet(
        name="wnut17",
        title="WNUT 2017, novel and emerging entities (NER)",
        terms="CC BY 4.0",
        source=InFolder(
            files={
                "train": "wnut17/wnut17train.conll",
                "dev": "wnut17/emerging.dev.conll",
                "test": "wnut17/emerging.test.annotated",
            },
            obtain="https://github.com/leondz/emerging_entities_17",
        ),
        sha256={
            "train": "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
            "dev": "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
            "test": "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
        },
    ),
    DataSet(
        name="conll2000",
        title="CoNLL-2000, chunking of Wall Street Journal text",
        terms="LDC Penn Treebank text, research use",
        source=InFolder(
            files={"train": "conll2000/train.txt", "test": "conll2000/test.txt"},
            obtain="https://www.clips.uantwerpen.be/conll2000/chunking/",
        ),
        sha256={
            "train": "82033cd7a72b209923a98007793e8f9de3abc1c8b79d646c50648eb949b87cea",
            "test": "73b7b1e565fa75a1e22fe52ecdf41b6624d6f59dacb591d44252bf4d692b1628",
        },
    ),
    DataSet(
        name="ptb",
        title="Penn Treebank for word-level language models, as prepared by Mikolov",
        terms="LDC Penn Treebank text, research use",
        source=InFolder(
            files={
                "train": "ptb/ptb.train.txt",
                "dev": "ptb/ptb.valid.txt",
                "test": "ptb/ptb.test.txt",
            },
            obtain="http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz",
        ),
        sha256={
            "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "dev": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        },
    ),
    DataSet(
        name="wikitext-2",
        title="WikiText-2, word level",
        terms="CC BY-SA",
        source=InFolder(
            files={"zip": "wikitext-2/wikitext-2-v1.zip"},
            obtain="the archive wikitext-2-v1.zip of Merity et al. 2017, arXiv 1609.07843",
        ),
        sha256={"zip": "ebe426e0105e0ea4771a2049b22d2d6179f204ef84f1377f3fbec090ab4263d8"},
    ),
    DataSet(
        name="glove-6b-50d",
        title="GloVe 6B, 50 dimensions, 83,341 of its 400,000 words",
        terms="PDDL 1.0",
        source=InFolder(
            files={"vectors": "glove/glove.6B.50d.subset.w2v.txt.gz"},
            obtain="https://nlp.stanford.edu/projects/glove/ (glove.6B.50d, cut to the words of the tasks)",
        ),
        sha256={"vectors": "322141216192258487c0a9f7dfeacc1e09f69cc2d71e8fc361535319dc224bc3"},
    ),
    DataSet(
        name="news",
        title="Lee background corpus, 300 news items of the Australian Broadcasting Corporation",
        terms="belongs to its authors, shipped with gensim",
        source=InPackage("gensim", "nlp", {"text": "test/test_data/lee_background.cor"}),
        sha256={"text": "5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb"},
    ),
    DataSet(
        name="wordsim-353",
        title="WordSim-353, relatedness of word pairs",
        terms="belongs to its authors, shipped with gensim",
        source=InPackage("gensim", "nlp", {"pairs": "test/test_data/wordsim353.tsv"}),
        sha256={"pairs": "f92a022fc2537793a15bc3a8c162ebcd74990e033a228bb6388cb71e4c0b1e1d"},
    ),
    DataSet(
        name="simlex-999",
        title="SimLex-999, similarity of word pairs",
        terms="belongs to its authors, shipped with gensim",
        source=InPackage("gensim", "nlp", {"pairs": "test/test_data/simlex999.txt"}),
        sha256={"pairs": "d5e0501971478a511430ee880bd0121e94ac701ba86d90544d83e6d2ba3db05d"},
    ),
)

KNOWN: Mapping[str, DataSet] = MappingProxyType({data_set.name: data_set for data_set in _DATA_SETS})
