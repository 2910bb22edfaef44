import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;

/**
 * A Lambda runtime in the JDK's own classes: load the function, then ask for an event, answer it, again.
 *
 * <p>The function is the static method `handler` of the class Function; it takes the event as a text and the deadline in
 * milliseconds since the epoch, and returns JSON.
 */
public final class Bootstrap {
    private static final String API = "http://" + System.getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/";
    private static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    public static void main(String[] arguments) throws IOException, InterruptedException {
        try {
            Class.forName("Function");
        } catch (ClassNotFoundException | LinkageError error) {
            post("init/error", describe(error.getCause() == null ? error : error.getCause()));
            System.exit(1);
        }
        while (true) {
            HttpResponse<String> next = CLIENT.send(request("invocation/next").build(), BodyHandlers.ofString());
            if (next.statusCode() != 200) {
                System.exit(1);
            }
            String id = next.headers().firstValue("Lambda-Runtime-Aws-Request-Id").orElseThrow();
            long deadline = next.headers().firstValueAsLong("Lambda-Runtime-Deadline-Ms").orElseThrow();
            try {
                post("invocation/" + id + "/response", Function.handler(next.body(), deadline));
            } catch (Exception error) {
                post("invocation/" + id + "/error", describe(error));
            }
        }
    }

    private static HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(API + path));
    }

    private static void post(String path, String body) throws IOException, InterruptedException {
        CLIENT.send(request(path).POST(BodyPublishers.ofString(body)).build(), BodyHandlers.discarding());
    }

    private static String describe(Throwable error) {
        String text = String.valueOf(error.getMessage()).replace("\\", "\\\\").replace("\"", "\\\"");
        return "{\"errorType\": \"" + error.getClass().getName() + "\", \"errorMessage\": \"" + text + "\"}";
    }
}
