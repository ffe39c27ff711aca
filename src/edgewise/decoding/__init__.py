"""From a model's probabilities to ranked items, and to texts."""

from edgewise.decoding.constrained_beam import beam_search, rerank
from edgewise.decoding.diverse_beam import diverse_beam_search
from edgewise.decoding.exact_scores import score_candidates
from edgewise.decoding.trie import PrefixTrie, TokenTable

__all__ = [
    "PrefixTrie",
    "TokenTable",
    "beam_search",
    "diverse_beam_search",
    "rerank",
    "score_candidates",
]
