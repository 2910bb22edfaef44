"""Bytes of the AWS protocols, from the service model."""
