"""Reading what others send, with input that nobody would think of."""
