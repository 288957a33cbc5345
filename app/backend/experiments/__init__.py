"""Experiments: datasets in, answers scored."""
