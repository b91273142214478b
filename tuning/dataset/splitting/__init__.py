"""Which images belong together, and which split each goes to."""
