"""What the admin sees: one file per screen."""
