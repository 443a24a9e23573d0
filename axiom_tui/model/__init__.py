"""The pure core: what a fleet is, what is wrong with it, and what a change would do. No I/O."""
