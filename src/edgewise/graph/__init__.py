"""From train rows to numbers: the bipartite graph and the features propagated on it."""
