"""Batches: one comparison over a file of questions, in the lane of experiments."""
