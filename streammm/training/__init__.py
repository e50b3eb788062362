"""Training on own labels: what people labelled, how well it is learned, and how far scores can be trusted."""
