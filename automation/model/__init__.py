"""The nouns of the project: frozen, typed, without behaviour. Times are seconds since the epoch (UTC), as floats."""
