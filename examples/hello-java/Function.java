import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The function. */
public final class Function {
    private static final Pattern NAME = Pattern.compile("\"name\"\\s*:\\s*\"([^\"\\\\]*)\"");

    public static String handler(String event, long deadline) {
        Matcher name = NAME.matcher(event);
        if (!name.find()) {
            throw new IllegalArgumentException("no name in the event");
        }
        return "{\"message\": \"Hello, " + name.group(1) + ", from Java!\"}";
    }
}
