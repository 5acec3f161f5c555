"""Zero-cost scores: what one minibatch through an untrained model says of a cell."""
