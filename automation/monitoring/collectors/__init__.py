"""Collectors, one a file: what is measured and probed each round."""
