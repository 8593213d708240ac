"""The built-in operations, one family a file. Each registers itself by the same door as a third party's."""
