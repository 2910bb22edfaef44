import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What `lambdad runtime test` asks of a function; see docs/runtimes.md. */
public final class Function {
    private static final Pattern WANTED = Pattern.compile("\"conformance\"\\s*:\\s*\"([a-z-]*)\"");
    private static final Pattern NUMBER = Pattern.compile("\"(?:ms|bytes)\"\\s*:\\s*([0-9]+)");

    static {
        if (System.getenv("CONFORMANCE_INIT_ERROR") != null) {
            throw new IllegalStateException("asked to fail");
        }
    }

    public static String handler(String event, long deadline) throws InterruptedException {
        Matcher wanted = WANTED.matcher(event);
        switch (wanted.find() ? wanted.group(1) : "") {
            case "echo":
                return event;
            case "deadline":
                return "{\"deadline_ms\": " + deadline + "}";
            case "large":
                return '"' + "x".repeat(number(event)) + '"';
            case "sleep":
                Thread.sleep(number(event));
                return event;
            default:
                throw new IllegalStateException("asked to fail, or unknown here");
        }
    }

    private static int number(String event) {
        Matcher number = NUMBER.matcher(event);
        return number.find() ? Integer.parseInt(number.group(1)) : 0;
    }
}
