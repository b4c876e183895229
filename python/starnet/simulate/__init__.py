"""Simulated skies with exact truth."""
