"""The graph-attentive GPT-2: users and items as tokens, the graph as a bias of attention."""
