"""Training of facade generators: data, networks, losses, recipes, the loop, export and evaluation."""
