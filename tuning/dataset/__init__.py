"""Raw images to packed arrays: sources, decoding, integrity, pool, split, and the sealed test split."""
