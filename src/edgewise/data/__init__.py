"""Tables of interactions and items: reading, numbering, splitting, and the demo shop."""
