"""The few operations of other AWS services that clients of Lambda call on the way."""
