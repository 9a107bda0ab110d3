"""Penstock: an application server for Python, written in C."""

__version__ = "0.1.0"
