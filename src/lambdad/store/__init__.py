"""Metadata in SQL and blobs on disk or in an object store, behind narrow interfaces."""
