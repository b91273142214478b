"""Synthetic faces: what a face is made of, and how it is drawn."""
