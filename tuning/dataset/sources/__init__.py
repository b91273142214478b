"""Reads raw data: detects its layout, and turns every file into samples, or rejects or ignores it."""
