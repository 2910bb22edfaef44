"""A content-addressed store of encrypted chunks: memory, disk, cache nodes, origin."""
