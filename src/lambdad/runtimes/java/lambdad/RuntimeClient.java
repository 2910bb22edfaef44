package lambdad;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/** As much of HTTP/1.1 as the Runtime API needs, on one connection for as long as it lasts. */
final class RuntimeClient {
    private static final String PREFIX = "/2018-06-01/runtime/";
    private static final int LINE_MAX = 1 << 21;
    private static final int BODY_MAX = 1 << 27;

    private final String address;
    private Socket socket;
    private InputStream input;

    RuntimeClient(String address) {
        this.address = address;
    }

    /** A response. Header names are in small letters. */
    static final class Answer {
        private final int status;
        private final Map<String, String> headers;
        private final byte[] body;

        Answer(int status, Map<String, String> headers, byte[] body) {
            this.status = status;
            this.headers = headers;
            this.body = body;
        }

        String header(String name) {
            return headers.get(name);
        }

        byte[] body() {
            return body;
        }
    }

    Answer next() throws IOException {
        Answer answer;
        try {
            answer = call("GET", "invocation/next", new byte[0], "");
        } catch (IOException error) {
            answer = call("GET", "invocation/next", new byte[0], ""); // a connection that was closed meanwhile
        }
        if (answer.status != 200) {
            System.err.println("next was answered with " + answer.status);
            System.exit(1);
        }
        return answer;
    }

    void respond(String id, byte[] body) throws IOException {
        post("invocation/" + id + "/response", body, "Content-Type: application/json\r\n");
    }

    void fail(String path, Failure failure) throws IOException {
        String type = "Content-Type: application/vnd.aws.lambda.error+json\r\n"
            + "Lambda-Runtime-Function-Error-Type: " + failure.type() + "\r\n";
        post(path + "/error", failure.json(), type);
    }

    private void post(String path, byte[] body, String headers) throws IOException {
        Answer answer = call("POST", path, body, headers);
        if (answer.status != 202) {
            String text = new String(answer.body, StandardCharsets.UTF_8);
            System.err.println("lambdad: " + path + " was answered with " + answer.status + ": " + text);
        }
    }

    private Answer call(String method, String path, byte[] body, String headers) throws IOException {
        try {
            return exchange(method, path, body, headers);
        } catch (IOException error) {
            close();
            throw error;
        }
    }

    private Answer exchange(String method, String path, byte[] body, String headers) throws IOException {
        if (socket == null) {
            int colon = address.lastIndexOf(':');
            socket = new Socket(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
            socket.setTcpNoDelay(true);
            input = new BufferedInputStream(socket.getInputStream(), 65536);
        }
        String head = method + " " + PREFIX + path + " HTTP/1.1\r\nHost: " + address + "\r\n" + headers
            + "Content-Length: " + body.length + "\r\n\r\n";
        ByteArrayOutputStream request = new ByteArrayOutputStream(head.length() + body.length);
        request.writeBytes(head.getBytes(StandardCharsets.ISO_8859_1));
        request.writeBytes(body);
        OutputStream output = socket.getOutputStream();
        request.writeTo(output);
        output.flush();
        return read();
    }

    private Answer read() throws IOException {
        String[] status = line().split(" ", 3);
        if (status.length < 2) {
            throw new IOException("no HTTP: " + String.join(" ", status));
        }
        Map<String, String> headers = new HashMap<>();
        for (String line = line(); !line.isEmpty(); line = line()) {
            int colon = line.indexOf(':');
            if (colon > 0) {
                headers.put(line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
            }
        }
        byte[] body = headers.containsKey("transfer-encoding")
            ? chunks()
            : exactly(Integer.parseInt(headers.getOrDefault("content-length", "0")));
        if ("close".equalsIgnoreCase(headers.get("connection"))) {
            close();
        }
        return new Answer(Integer.parseInt(status[1]), headers, body);
    }

    private byte[] chunks() throws IOException {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        while (true) {
            int size = Integer.parseInt(line().split(";", 2)[0].trim(), 16);
            if (size == 0) {
                while (!line().isEmpty()) {
                    continue; // trailers
                }
                return body.toByteArray();
            }
            if (body.size() + (long) size > BODY_MAX) {
                throw new IOException("a body of more than " + BODY_MAX + " bytes");
            }
            body.writeBytes(exactly(size));
            line();
        }
    }

    private byte[] exactly(int size) throws IOException {
        if (size < 0 || size > BODY_MAX) {
            throw new IOException("a body of " + size + " bytes");
        }
        byte[] bytes = input.readNBytes(size);
        if (bytes.length < size) {
            throw new EOFException("the connection ended within a body");
        }
        return bytes;
    }

    private String line() throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream(128);
        for (int next = input.read(); next != '\n'; next = input.read()) {
            if (next < 0) {
                throw new EOFException("the connection ended");
            }
            if (line.size() >= LINE_MAX) {
                throw new IOException("a line of more than " + LINE_MAX + " bytes");
            }
            if (next != '\r') {
                line.write(next);
            }
        }
        return line.toString(StandardCharsets.UTF_8);
    }

    private void close() {
        try {
            if (socket != null) {
                socket.close();
            }
        } catch (IOException error) {
            System.err.println("lambdad: " + error);
        }
        socket = null;
    }
}
