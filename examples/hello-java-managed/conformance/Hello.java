import com.amazonaws.services.lambda.runtime.Context;
import java.util.Map;

/** What `lambdad runtime test` asks of a function; see docs/runtimes.md. */
public final class Hello {
    static {
        if (System.getenv("CONFORMANCE_INIT_ERROR") != null) {
            throw new IllegalStateException("asked to fail");
        }
    }

    public static Object handler(Map<String, Object> event, Context context) throws InterruptedException {
        switch ((String) event.get("conformance")) {
            case "echo":
                return event;
            case "deadline":
                return Map.of("deadline_ms", deadline(context));
            case "large":
                return "x".repeat(((Number) event.get("bytes")).intValue());
            case "sleep":
                Thread.sleep(((Number) event.get("ms")).longValue());
                return event;
            default:
                throw new IllegalArgumentException(event.get("conformance") + ": asked to fail, or unknown here");
        }
    }

    /** A function is told the time that it has left; when that is measured twice in one millisecond, it is no guess. */
    private static long deadline(Context context) {
        while (true) {
            long before = System.currentTimeMillis();
            long left = context.getRemainingTimeInMillis();
            if (System.currentTimeMillis() == before) {
                return before + left;
            }
        }
    }
}
