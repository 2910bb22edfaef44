import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A whole Lambda runtime in the JDK's own classes: ask for an event, answer it, again. */
public final class Bootstrap {
    private static final String API =
        "http://" + System.getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation";
    private static final Pattern NAME = Pattern.compile("\"name\"\\s*:\\s*\"([^\"\\\\]*)\"");

    private static String handle(String event) {
        Matcher name = NAME.matcher(event);
        if (!name.find()) {
            throw new IllegalArgumentException("no name in the event");
        }
        return "{\"message\": \"Hello, " + name.group(1) + ", from Java!\"}";
    }

    public static void main(String[] arguments) throws IOException, InterruptedException {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        while (true) {
            var next = client.send(HttpRequest.newBuilder(URI.create(API + "/next")).build(), BodyHandlers.ofString());
            if (next.statusCode() != 200) {
                System.exit(1);
            }
            String id = next.headers().firstValue("Lambda-Runtime-Aws-Request-Id").orElseThrow();
            String path;
            String body;
            try {
                body = handle(next.body());
                path = "/response";
            } catch (RuntimeException error) {
                body = "{\"errorType\": \"" + error.getClass().getName() + "\", \"errorMessage\": \""
                    + error.getMessage() + "\"}";
                path = "/error";
            }
            var answer = HttpRequest.newBuilder(URI.create(API + "/" + id + path))
                .POST(HttpRequest.BodyPublishers.ofString(body)).build();
            client.send(answer, BodyHandlers.discarding());
        }
    }
}
