"""What a plugin of each kind is: its base class, and what it is given."""
