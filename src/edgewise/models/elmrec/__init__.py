"""ELMRec (Wang et al., EMNLP 2024): a T5 whose whole-word embeddings carry the user-item graph."""
