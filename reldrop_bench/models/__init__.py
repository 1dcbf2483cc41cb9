"""Networks, written so that layer-wise relevance propagation works on them."""
