"""The methods that can be fitted, by the names that people type; code loads when asked for.

A method of this package is a line of :data:`METHODS`. A method of another package names its class
in that package's metadata and is found once it is installed::

    [project.entry-points."edgewise.methods"]
    mine = "mypackage.mine:Mine"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.config import MethodConfig, check, nearest, preset_config
from edgewise.errors import ConfigError
from edgewise.files import kind_of

if TYPE_CHECKING:
    from edgewise.recommender import Recommender

ENTRY_POINTS = "edgewise.methods"
DEFAULT_METHOD = "elmrec"


@dataclass(frozen=True)
class Method:
    """Where a method is and what it is called.

    Attributes:
        name: as it is typed and kept in ``run.json``.
        path: of its class, ``module:Class``.
        label: as tables and pages call it.
        summary: one sentence for those who choose.
        paper: authors, year and where to find it.
        settings: ``module:Class`` of its settings where they load faster than the method; the
            module holds ``PRESETS``, too.
    """

    name: str
    path: str
    label: str = ""
    summary: str = ""
    paper: str = ""
    settings: str | None = None

    @property
    def recommender(self) -> type[Recommender]:
        """The class; loads the libraries that the method needs."""
        return _found(self.path)

    @property
    def config_class(self) -> type[MethodConfig]:
        """The class of its settings."""
        return self.recommender.Config if self.settings is None else _found(self.settings)

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Named settings."""
        if self.settings is None:
            return self.recommender.PRESETS
        return _found(self.settings.partition(":")[0] + ":PRESETS")

    def preset_config(self, name: str) -> MethodConfig:
        """The settings of a preset.

        Raises:
            ConfigError: there is none of this name.
        """
        return preset_config(self.config_class, self.presets, name)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "elmrec",
            "edgewise.models.elmrec.recommender:ELMRec",
            "ELMRec",
            "A T5 whose whole-word embeddings carry the user-item graph; P5, POD and T5 by preset.",
            "Wang et al., EMNLP 2024, arXiv 2409.19979",
            "edgewise.models.elmrec.config:ELMRecConfig",
        ),
        Method(
            "graph-gpt",
            "edgewise.models.graph_gpt.recommender:GraphGPT",
            "Graph-attentive GPT-2",
            "A GPT-2 over users, items and words whose attention is biased by the graph.",
            "Wang et al. 2024, arXiv 2402.09617",
            "edgewise.models.graph_gpt.config:GraphGPTConfig",
        ),
        Method(
            "popularity",
            "edgewise.models.popularity:Popularity",
            "Popularity",
            "The same popular items for everybody: what every other method must beat.",
        ),
        Method(
            "ease",
            "edgewise.models.ease:EASE",
            "EASE",
            "A linear model of items by items, in closed form: no epochs, no order.",
            "Steck, WWW 2019, arXiv 1905.03375",
        ),
        Method(
            "item-knn",
            "edgewise.models.item_knn:ItemKNN",
            "Item kNN",
            "Items that the same people have are alike: cosine, TF-IDF or BM25, in seconds.",
            "Sarwar et al., WWW 2001",
        ),
        Method(
            "session-knn",
            "edgewise.models.session_knn:SessionKNN",
            "Session kNN",
            "What people with similar recent items have, by the age of the items.",
            "Ludewig and Jannach, UMUAI 2018, arXiv 1803.09587",
        ),
        Method(
            "transitions",
            "edgewise.models.transitions:Transitions",
            "Item transitions",
            "What people took after, and before, the user's items; one and two steps on.",
        ),
        Method(
            "graph-filter",
            "edgewise.models.graph_filter:GraphFilter",
            "Graph filter",
            "Untrained filters of the user-item graph: two-step, GF-CF and truncated SVD.",
            "Shen et al., CIKM 2021, arXiv 2108.07567",
        ),
        Method(
            "lightgcn",
            "edgewise.models.lightgcn:LightGCN",
            "LightGCN",
            "Embeddings of users and items that flow along the edges of the graph.",
            "He et al., SIGIR 2020, arXiv 2002.02126",
        ),
        Method(
            "ncl",
            "edgewise.models.ncl:NCL",
            "NCL",
            "LightGCN whose nodes are drawn to their neighbours at distance two and to prototypes.",
            "Lin et al., WWW 2022, arXiv 2202.06200",
        ),
        Method(
            "xsimgcl",
            "edgewise.models.xsimgcl:XSimGCL",
            "XSimGCL",
            "LightGCN whose layers carry noise and are contrasted with each other.",
            "Yu et al., TKDE 2023, arXiv 2209.02544",
        ),
        Method(
            "simplex",
            "edgewise.models.simplex:SimpleX",
            "SimpleX",
            "Users mixed with the mean of their items, a cosine loss with many negatives.",
            "Mao et al., CIKM 2021, arXiv 2109.12613",
        ),
        Method(
            "multi-vae",
            "edgewise.models.multi_vae:MultiVAE",
            "Multi-VAE",
            "A variational autoencoder of histories with a multinomial likelihood.",
            "Liang et al., WWW 2018, arXiv 1802.05814",
        ),
        Method(
            "sasrec",
            "edgewise.models.sasrec:SASRec",
            "SASRec",
            "A causal transformer over a user's history that predicts the next item.",
            "Kang and McAuley, ICDM 2018, arXiv 1808.09781",
        ),
        Method(
            "gru4rec",
            "edgewise.models.gru4rec:GRU4Rec",
            "GRU4Rec",
            "A recurrent network over a user's history that predicts the next item.",
            "Hidasi et al., ICLR 2016, arXiv 1511.06939",
        ),
        Method(
            "caser",
            "edgewise.models.caser:Caser",
            "Caser",
            "Convolutions over a user's last few items.",
            "Tang and Wang, WSDM 2018, arXiv 1809.07426",
        ),
        Method(
            "hgn",
            "edgewise.models.hgn:HGN",
            "HGN",
            "Gates that choose features and items of a user's last few items.",
            "Ma et al., KDD 2019, arXiv 1906.09217",
        ),
        Method(
            "bert4rec",
            "edgewise.models.bert4rec:BERT4Rec",
            "BERT4Rec",
            "A transformer that fills gaps in a user's history, the next item being the last gap.",
            "Sun et al., CIKM 2019, arXiv 1904.06690",
        ),
        Method(
            "esasrec",
            "edgewise.models.esasrec:ESASRec",
            "eSASRec",
            "SASRec with gated blocks and a softmax over sampled items.",
            "Tikhonovich et al., RecSys 2025, arXiv 2508.06450",
        ),
        Method(
            "s3rec",
            "edgewise.models.s3rec:S3Rec",
            "S3-Rec",
            "A transformer over histories, pre-trained on attributes, masked items and segments.",
            "Zhou et al., CIKM 2020, arXiv 2008.07873",
        ),
        Method(
            "fdsa",
            "edgewise.models.fdsa:FDSA",
            "FDSA",
            "Two transformers over a history, of its items and of their attributes and texts.",
            "Zhang et al., IJCAI 2019",
        ),
        Method(
            "unisrec",
            "edgewise.models.unisrec:UniSRec",
            "UniSRec",
            "A transformer over the texts of a history's items, which new items have, too.",
            "Hou et al., KDD 2022, arXiv 2206.05941",
        ),
        Method(
            "md-cvae",
            "edgewise.models.md_cvae:MDCVAE",
            "MD-CVAE",
            "An autoencoder of histories and one of items' texts that hold each other in place.",
            "Zhu and Chen, WWW 2022",
        ),
        Method(
            "rsl",
            "edgewise.models.elmrec.rsl:RSL",
            "RSL",
            "RecSysLLM: a T5 that fills blanks, whole users, items and attributes at a time.",
            "Chu et al. 2023, arXiv 2308.10837",
        ),
        Method(
            "tiger",
            "edgewise.models.tiger:TIGER",
            "TIGER",
            "A T5 that writes the next item's semantic id, a few codes by which similar items "
            "begin alike.",
            "Rajput et al., NeurIPS 2023, arXiv 2305.05065",
        ),
    )
}


def methods() -> dict[str, Method]:
    """Every method by its name: those of this package, then those of installed ones."""
    return METHODS | _installed()


def find_method(name: str, where: str = "") -> Method:
    """A method by its name.

    Args:
        name: as it was typed or read.
        where: prefix for the message, such as an option or a file.

    Raises:
        ConfigError: there is no such method; the nearest is named.
    """
    if name in METHODS:
        return METHODS[name]
    known = methods()
    check(name in known, f"{where}no such method: {name!r}.{nearest(name, known)}")
    return known[name]


def load_model(name: str | Path, **download: Any) -> Recommender:
    """A saved model of any method, from a folder or from the Hugging Face hub.

    Args:
        name: a folder written by ``save_pretrained``, or ``organisation/name``.
        download: arguments of ``huggingface_hub.snapshot_download``.

    Raises:
        ModelFolderError: there is none, or it was truncated or altered.
        ConfigError: it was saved by a method that is not installed.
    """
    from edgewise.recommender import local_folder

    folder = local_folder(name, **download)
    return find_method(kind_of(folder), f"{folder}: ").recommender.from_pretrained(folder)


@cache
def _installed() -> dict[str, Method]:
    found = entry_points(group=ENTRY_POINTS)
    return {each.name: Method(each.name, each.value, each.name) for each in found}


def _found(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the method at {path} cannot be loaded: {error}") from error
