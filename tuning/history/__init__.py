"""The one read model of a search: its journal as trials, configurations and curves."""
