"""Colloquy: a multi-user web application for retrieval-augmented generation."""

__version__ = "0.1.0"
