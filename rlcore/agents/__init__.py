"""The ladder of agents. Each differs from its neighbour by a small diff, and none imports another."""
