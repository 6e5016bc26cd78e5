"""What a new method, and what the tests of this package, are checked with."""
