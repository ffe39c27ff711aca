"""From rows to tokens: wordings, spelled ids, and batches with known whole-word spans."""
