"""Vouchbox: an open identity-verification box that gives out one signed sentence and no image."""

__version__ = "0.1.0"
