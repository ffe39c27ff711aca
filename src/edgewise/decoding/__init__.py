"""From a model's probabilities to ranked items."""

from edgewise.decoding.beam import beam_search
from edgewise.decoding.candidates import score_candidates
from edgewise.decoding.trie import PrefixTrie, TokenTable

__all__ = ["PrefixTrie", "TokenTable", "beam_search", "score_candidates"]
