"""Filters on attributes of items."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from edgewise.data.dataset import Catalog
from edgewise.data.item_facets import ItemFacets
from edgewise.errors import ConfigError

CATALOG = replace(
    Catalog.empty(5),
    brand=("Dove", "Avène", "Dove", "", "Dovetail"),
    categories=(("Hair Care", "Soaps"), ("Skin Care",), ("Skin Care", "Soaps"), (), ("Hair Care",)),
)
FACETS = ItemFacets.of(CATALOG)


@pytest.mark.parametrize(
    ("filters", "items"),
    [
        ({"brand": "Dove"}, [0, 2]),
        ({"brand": ["Dove", "Avène"]}, [0, 1, 2]),
        ({"categories": ["Hair Care", "Skin Care"]}, [0, 1, 2, 4]),
        ({"categories": "Soaps", "brand": "Dove"}, [0, 2]),
        ({"categories": "Hair Care", "brand": ("Dove",)}, [0]),
        ({"categories": "Skin Care", "brand": "Dovetail"}, []),
        ({}, [0, 1, 2, 3, 4]),
    ],
)
def test_values_are_alternatives_and_attributes_must_all_fit(filters, items):
    for facets in (FACETS, ItemFacets.from_frame(pl.DataFrame(FACETS.columns()))):
        assert facets is not None
        assert facets.fits(filters).nonzero()[0].tolist() == items


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({"brnd": "Dove"}, "'brnd': items have no such attribute. Did you mean 'brand'?"),
        ({"brand": "dove"}, "no item has 'dove'. Did you mean 'Dove'?"),
        ({"brand": ["Dove", "Avene"]}, "no item has 'Avene'. Did you mean 'Avène'?"),
        (
            {"categories": "zzz"},
            "no item has 'zzz'. The most common: '(Hair Care|Soaps|Skin Care)'",
        ),
        ({"brand": []}, "filter brand: no value"),
        ({"brand": "x\x1b[31m\n"}, "no item has 'x\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(filters, told):
    with pytest.raises(ConfigError, match=told.replace("?", r"\?").replace("[", r"\[")):
        FACETS.fits(filters)


def test_a_catalogue_without_brands_says_so():
    facets = ItemFacets.of(replace(CATALOG, brand=("",) * 5))
    with pytest.raises(ConfigError, match="the data set knows no brand of any item"):
        facets.fits({"brand": "Dove"})
    assert ItemFacets.from_frame(pl.DataFrame({"title": ["a"]})) is None
