"""How good scores and events are: plain functions of numpy arrays, and an interval for any of them."""
