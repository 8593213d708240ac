"""How long what is over is kept: deleting and packing it, bit by bit."""
