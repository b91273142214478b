"""Decides which images belong together, and into which split each goes."""
