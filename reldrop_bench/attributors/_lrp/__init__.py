"""Layer-wise relevance propagation on a network's graph."""
