"""What a run looks like to somebody who sees it for the first time."""
