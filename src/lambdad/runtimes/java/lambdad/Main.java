package lambdad;

import java.io.File;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The client of the Runtime API for Java functions: loads the handler, then asks for an event, answers it, again.
 *
 * <p>AWS's own client is in Maven's repositories; the conventions are AWS's. A handler is `package.Class::method`, or
 * the name of a class that implements RequestHandler or RequestStreamHandler.
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws IOException {
        RuntimeClient client = new RuntimeClient(System.getenv("AWS_LAMBDA_RUNTIME_API"));
        ClassLoader loader = functionLoader(System.getenv("LAMBDA_TASK_ROOT"));
        Thread.currentThread().setContextClassLoader(loader);
        Handler handler = null;
        try {
            handler = Handler.load(System.getenv("_HANDLER"), loader);
        } catch (Throwable error) {
            Failure failure = Failure.of(error);
            System.err.println(failure.text());
            client.fail("init", failure);
            System.exit(1);
        }
        while (true) {
            serve(client, handler);
        }
    }

    private static void serve(RuntimeClient client, Handler handler) throws IOException {
        RuntimeClient.Answer next = client.next();
        Invocation invocation = new Invocation(next);
        setTrace(next.header("lambda-runtime-trace-id"));
        byte[] answer;
        try {
            answer = handler.handle(next.body(), invocation);
        } catch (Throwable error) {
            Failure failure = Failure.of(error);
            System.err.println(failure.text());
            client.fail("invocation/" + invocation.getAwsRequestId(), failure);
            if (error instanceof VirtualMachineError) {
                System.exit(1);
            }
            return;
        }
        client.respond(invocation.getAwsRequestId(), answer);
    }

    private static void setTrace(String trace) {
        if (trace == null) {
            System.clearProperty("com.amazonaws.xray.traceHeader");
        } else {
            System.setProperty("com.amazonaws.xray.traceHeader", trace);
        }
    }

    /** The function's classes, its jars in lib/, and those of layers in java/lib, in this order. */
    private static ClassLoader functionLoader(String task) throws MalformedURLException {
        List<URL> places = new ArrayList<>();
        places.add(new File(task + "/").toURI().toURL());
        for (String directory : new String[] {task + "/lib", "/opt/java/lib"}) {
            File[] jars = new File(directory).listFiles((parent, name) -> name.endsWith(".jar"));
            if (jars != null) {
                Arrays.sort(jars);
                for (File jar : jars) {
                    places.add(jar.toURI().toURL());
                }
            }
        }
        return new URLClassLoader(places.toArray(new URL[0]), Main.class.getClassLoader());
    }
}
