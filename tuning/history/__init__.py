"""The only read model of a search: presents its journal as trials, configurations and curves."""
