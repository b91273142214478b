"""A prepared data set on disk: manifests, file states, packed arrays, the sealed test split."""
