"""Share links: what was said, as it was when the link was made."""
