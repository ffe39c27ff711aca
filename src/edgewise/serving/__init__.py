"""A fitted model as a shop uses it: lists for everybody in a batch, and a service that answers."""
