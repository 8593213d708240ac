"""What fills the made parts of the documentation."""
