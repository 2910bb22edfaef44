"""Who runs this invoke: counting, warm slots, starts. Pure policy and one driver."""
