"""The programs that run as every sandbox's first processes: small, alone, with no way back."""
