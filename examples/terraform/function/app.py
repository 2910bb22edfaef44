import greeting


def handler(event, context):
    return {"text": greeting.greet(event.get("name", "world"))}
