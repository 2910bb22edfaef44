"""Says hello, and tells where it runs."""

import os
import platform


def handler(event, context):
    name = event.get("name", "world")
    print(f"saying hello to {name}")
    return {
        "message": f"Hello, {name}!",
        "request": context.aws_request_id,
        "python": platform.python_version(),
        "memory": int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
    }
