"""What goes into the /var/runtime of a Python sandbox; these files run under the function's interpreter."""
