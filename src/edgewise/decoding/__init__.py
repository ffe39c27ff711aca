"""From a model's probabilities to ranked items, and to texts."""

from edgewise.decoding.beam import beam_search
from edgewise.decoding.candidates import score_candidates
from edgewise.decoding.diverse import diverse_beam_search
from edgewise.decoding.rerank import rerank
from edgewise.decoding.trie import PrefixTrie, TokenTable

__all__ = [
    "PrefixTrie",
    "TokenTable",
    "beam_search",
    "diverse_beam_search",
    "rerank",
    "score_candidates",
]
