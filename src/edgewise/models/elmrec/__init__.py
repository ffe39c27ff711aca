"""ELMRec (Wang et al., EMNLP 2024): a T5 whose whole-word vectors carry the user-item graph."""
