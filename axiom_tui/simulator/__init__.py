"""The embedded Axiom: a whole fleet over real loopback sockets. It speaks the wire only."""
