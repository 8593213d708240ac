"""The commands, one noun a file. Each imports what it needs when it is called, so that help comes up at once."""
