"""Channels, one a file: how a message reaches people."""
