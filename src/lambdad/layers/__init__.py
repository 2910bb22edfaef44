"""What goes to /var/task and /opt: safe archives, content-addressed unpacked trees."""
