"""The arena: from votes to ratings. `live.Arena` is what the doors use; all else here is pure and knows no storage."""
