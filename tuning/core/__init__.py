"""Foundations of all other packages: files, records, errors, the workspace, the machine, progress, HTML."""
