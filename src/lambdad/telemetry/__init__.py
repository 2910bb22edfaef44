"""Function logs, metrics, structured logs of lambdad itself."""
