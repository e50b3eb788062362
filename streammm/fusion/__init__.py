"""Embeddings of each modality and a state -> class probabilities."""
