"""What goes into the /var/runtime of a Ruby sandbox: Ruby, as package data."""
