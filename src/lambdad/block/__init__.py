"""A disk that is not here yet: blocks of an image, fetched when they are read, served through FUSE and NBD."""
