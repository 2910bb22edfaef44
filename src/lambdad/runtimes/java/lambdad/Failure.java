package lambdad;

import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** An exception as the Runtime API has it. */
final class Failure {
    private static final int DEPTH_MAX = 16;
    private static final int FRAMES_MAX = 100;

    private final Throwable error;

    private Failure(Throwable error) {
        this.error = error;
    }

    static Failure of(Throwable error) {
        Throwable real = error;
        while (real.getCause() != null
            && (real instanceof InvocationTargetException || real instanceof ExceptionInInitializerError)) {
            real = real.getCause();
        }
        return new Failure(real);
    }

    String type() {
        return error.getClass().getName();
    }

    byte[] json() {
        return Json.write(describe(error, 0)).getBytes(StandardCharsets.UTF_8);
    }

    /** For the log. */
    String text() {
        StringBuilder text = new StringBuilder(String.valueOf(error));
        for (String frame : frames(error)) {
            text.append("\n\tat ").append(frame);
        }
        return text.toString();
    }

    private static Map<String, Object> describe(Throwable error, int depth) {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("errorMessage", error.getMessage() == null ? error.getClass().getName() : error.getMessage());
        told.put("errorType", error.getClass().getName());
        told.put("stackTrace", frames(error));
        if (error.getCause() != null && depth < DEPTH_MAX) {
            told.put("cause", describe(error.getCause(), depth + 1));
        }
        return told;
    }

    /** The function's own: what is below the handler is ours and reflection's. */
    private static List<String> frames(Throwable error) {
        List<String> frames = new ArrayList<>();
        for (StackTraceElement frame : error.getStackTrace()) {
            String name = frame.getClassName();
            if (name.startsWith("lambdad.") || frames.size() == FRAMES_MAX) {
                break;
            }
            if (!name.startsWith("java.lang.reflect.") && !name.startsWith("jdk.internal.reflect.")) {
                frames.add(frame.toString().replaceFirst("^app//|^[^/]*/", ""));
            }
        }
        return frames;
    }
}
