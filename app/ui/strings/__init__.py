"""The words of the interface, a module for each language; all have the same keys."""
