"""What goes into the /var/runtime of a Node.js sandbox: JavaScript, as package data."""
