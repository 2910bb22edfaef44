"""What goes into the /var/runtime of a Java sandbox: Java, as package data, compiled by the host's JDK."""
