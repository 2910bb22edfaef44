package lambdad;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The method that `_HANDLER` names. */
final class Handler {
    private static final String METHOD = "handleRequest";

    private final Object target;
    private final Method method;

    private Handler(Object target, Method method) {
        this.target = target;
        this.method = method;
    }

    /** Throws what loading the class throws, and IllegalArgumentException for a name without a method. */
    static Handler load(String name, ClassLoader loader) throws Exception {
        String[] parts = name.split("::", 2);
        Class<?> type = Class.forName(parts[0], true, loader);
        boolean isHandler =
            RequestHandler.class.isAssignableFrom(type) || RequestStreamHandler.class.isAssignableFrom(type);
        if (parts.length == 1 && !isHandler) {
            throw new IllegalArgumentException(
                "Handler " + name + " is neither a RequestHandler nor a RequestStreamHandler: name a method, as in "
                    + name + "::handle");
        }
        Method method = find(type, parts.length == 2 ? parts[1] : METHOD);
        method.setAccessible(true);
        boolean isStatic = Modifier.isStatic(method.getModifiers());
        return new Handler(isStatic ? null : type.getDeclaredConstructor().newInstance(), method);
    }

    /** Of several methods of a name the one with the most parameters, as on AWS. */
    private static Method find(Class<?> type, String name) throws NoSuchMethodException {
        List<Method> found = new ArrayList<>();
        for (Method method : type.getMethods()) {
            if (method.getName().equals(name) && !method.isBridge() && isUsable(method.getParameterTypes())) {
                found.add(method);
            }
        }
        found.sort((one, other) -> other.getParameterCount() - one.getParameterCount());
        if (found.isEmpty()) {
            throw new NoSuchMethodException("No public method named " + name
                + " with appropriate method signature found on class " + type.getName());
        }
        return found.get(0);
    }

    private static boolean isUsable(Class<?>[] types) {
        int count = types.length;
        boolean hasContext = count > 0 && types[count - 1] == Context.class;
        return isStream(types) ? count == 2 || count == 3 && hasContext : count <= 1 || count == 2 && hasContext;
    }

    private static boolean isStream(Class<?>[] types) {
        return types.length >= 2 && types[0] == InputStream.class && types[1] == OutputStream.class;
    }

    /** The answer's bytes. Throws what the handler throws. */
    byte[] handle(byte[] event, Context context) throws Exception {
        Class<?>[] types = method.getParameterTypes();
        if (isStream(types)) {
            ByteArrayOutputStream output = new ByteArrayOutputStream();
            InputStream input = new ByteArrayInputStream(event);
            Object[] all = {input, output, context};
            method.invoke(target, Arrays.copyOf(all, types.length));
            return output.toByteArray();
        }
        Type[] generic = method.getGenericParameterTypes();
        Object[] arguments = new Object[types.length];
        for (int index = 0; index < types.length; index++) {
            if (types[index] == Context.class) {
                arguments[index] = context;
            } else {
                arguments[index] = Mapper.read(Json.read(new String(event, StandardCharsets.UTF_8)), generic[index]);
            }
        }
        Object answer = method.invoke(target, arguments);
        return Json.write(Mapper.write(answer)).getBytes(StandardCharsets.UTF_8);
    }
}
