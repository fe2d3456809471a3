"""The rules of the house, held by checks; each rule has a test that shows it failing."""
