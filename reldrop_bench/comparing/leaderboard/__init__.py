"""Many result sets as one list: who stands where, as a page of its own."""
