"""Zero-cost scores of cells: computed from one minibatch through an untrained model."""
