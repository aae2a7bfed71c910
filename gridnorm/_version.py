"""The version, at the bottom of the house: whoever writes it down imports it from here."""

__version__ = "0.1.0"
