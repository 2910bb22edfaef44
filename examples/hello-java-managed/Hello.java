import java.util.Map;

/** A function under the managed runtime: no runtime of its own, and no library to compile against. */
public final class Hello {
    public static Map<String, Object> handler(Map<String, Object> event) {
        Object name = event.get("name");
        if (name == null) {
            throw new IllegalArgumentException("no name in the event");
        }
        return Map.of("message", "Hello, " + name + ", from Java " + Runtime.version().feature() + "!");
    }
}
