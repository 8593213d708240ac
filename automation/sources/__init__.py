"""Where events come from: parsers of what others post to us, and sources that the engine runs."""
