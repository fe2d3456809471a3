"""Files that clients hand in and that batches leave: in the store, with a row each."""
