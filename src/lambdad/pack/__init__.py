"""The layer builder: from named packages and files to the smallest zip that works under /opt."""
