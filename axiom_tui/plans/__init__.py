"""The write side: plans of steps, and the one runner that changes the world."""
