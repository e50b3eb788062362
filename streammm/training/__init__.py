"""Training: labelled media in, a model directory out, and how good it is."""
