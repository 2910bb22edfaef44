"""The lambdad command. Speaks HTTP like any client."""
