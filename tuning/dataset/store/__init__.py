"""Stores a prepared data set: manifests, file states, packed arrays, the sealed test split."""
