package lambdad;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Between JSON's values and a handler's types: beans, records, collections, enums, numbers. */
final class Mapper {
    private static final int DEPTH_MAX = 200;

    private Mapper() {}

    /** `value`, as Json reads it, as a `type`. Throws IllegalArgumentException where it cannot be one. */
    static Object read(Object value, Type type) throws ReflectiveOperationException {
        if (type instanceof ParameterizedType) {
            ParameterizedType generic = (ParameterizedType) type;
            return readClass(value, (Class<?>) generic.getRawType(), generic.getActualTypeArguments());
        }
        if (type instanceof GenericArrayType) {
            return readArray(value, rawClass(((GenericArrayType) type).getGenericComponentType()));
        }
        return type instanceof Class ? readClass(value, (Class<?>) type, new Type[0]) : value;
    }

    private static Object readClass(Object value, Class<?> type, Type[] arguments) throws ReflectiveOperationException {
        if (value == null || type == Object.class) {
            return value;
        }
        if (type == String.class || type == CharSequence.class) {
            return readText(value);
        }
        if (type == boolean.class || type == Boolean.class) {
            return value instanceof Boolean ? value : Boolean.valueOf(readText(value));
        }
        if (type == char.class || type == Character.class) {
            return readText(value).charAt(0);
        }
        if (type.isPrimitive() || Number.class.isAssignableFrom(type)) {
            return readNumber(value, type);
        }
        if (type.isEnum()) {
            return readEnum(value, type);
        }
        if (type == byte[].class) {
            return Base64.getDecoder().decode(readText(value));
        }
        if (type.isArray()) {
            return readArray(value, type.getComponentType());
        }
        if (Collection.class.isAssignableFrom(type) || type == Iterable.class) {
            return readCollection(value, type, arguments.length == 1 ? arguments[0] : Object.class);
        }
        if (Map.class.isAssignableFrom(type)) {
            return readMap(value, type, arguments);
        }
        return type.isInstance(value) ? value : readBean(value, type);
    }

    private static String readText(Object value) {
        if (value instanceof Map || value instanceof List) {
            throw new IllegalArgumentException("An error occurred during JSON parsing: the event is "
                + (value instanceof Map ? "an object" : "an array") + " where the handler takes a text");
        }
        return String.valueOf(value);
    }

    private static Object readNumber(Object value, Class<?> type) {
        BigDecimal number = new BigDecimal(readText(value));
        if (type == int.class || type == Integer.class) {
            return number.intValue();
        }
        if (type == long.class || type == Long.class) {
            return number.longValue();
        }
        if (type == double.class || type == Double.class) {
            return number.doubleValue();
        }
        if (type == float.class || type == Float.class) {
            return number.floatValue();
        }
        if (type == short.class || type == Short.class) {
            return number.shortValue();
        }
        if (type == byte.class || type == Byte.class) {
            return number.byteValue();
        }
        if (type == BigDecimal.class) {
            return number;
        }
        return type == Number.class ? value : number.toBigInteger();
    }

    private static Object readEnum(Object value, Class<?> type) {
        for (Object constant : type.getEnumConstants()) {
            if (((Enum<?>) constant).name().equals(value)) {
                return constant;
            }
        }
        throw new IllegalArgumentException(type.getName() + " has no constant " + value);
    }

    private static Object readArray(Object value, Class<?> type) throws ReflectiveOperationException {
        List<?> elements = (List<?>) require(value, List.class);
        Object array = Array.newInstance(type, elements.size());
        for (int index = 0; index < elements.size(); index++) {
            Array.set(array, index, read(elements.get(index), type));
        }
        return array;
    }

    private static Object readCollection(Object value, Class<?> type, Type element)
        throws ReflectiveOperationException {
        Collection<Object> collection;
        if (!type.isInterface() && !Modifier.isAbstract(type.getModifiers())) {
            @SuppressWarnings("unchecked")
            Collection<Object> made = (Collection<Object>) type.getConstructor().newInstance();
            collection = made;
        } else {
            collection = Set.class.isAssignableFrom(type) ? new LinkedHashSet<>() : new ArrayList<>();
        }
        for (Object one : (List<?>) require(value, List.class)) {
            collection.add(read(one, element));
        }
        return collection;
    }

    private static Object readMap(Object value, Class<?> type, Type[] arguments) throws ReflectiveOperationException {
        Map<Object, Object> map;
        if (!type.isInterface() && !Modifier.isAbstract(type.getModifiers())) {
            @SuppressWarnings("unchecked")
            Map<Object, Object> made = (Map<Object, Object>) type.getConstructor().newInstance();
            map = made;
        } else {
            map = new LinkedHashMap<>();
        }
        Type keys = arguments.length == 2 ? arguments[0] : String.class;
        Type values = arguments.length == 2 ? arguments[1] : Object.class;
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) require(value, Map.class)).entrySet()) {
            map.put(read(entry.getKey(), keys), read(entry.getValue(), values));
        }
        return map;
    }

    /** Setters and public fields, whatever the case of their names; unknown members are passed over. */
    private static Object readBean(Object value, Class<?> type) throws ReflectiveOperationException {
        Map<String, Object> members = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) require(value, Map.class)).entrySet()) {
            members.putIfAbsent((String) entry.getKey(), entry.getValue());
        }
        if (isRecord(type)) {
            return readRecord(members, type);
        }
        Constructor<?> constructor = type.getDeclaredConstructor();
        constructor.setAccessible(true);
        Object bean = constructor.newInstance();
        for (Method method : type.getMethods()) {
            String name = method.getName();
            boolean isSetter = name.startsWith("set") && name.length() > 3 && method.getParameterCount() == 1;
            if (isSetter && !method.isBridge() && members.containsKey(name.substring(3))) {
                method.setAccessible(true);
                method.invoke(bean, read(members.get(name.substring(3)), method.getGenericParameterTypes()[0]));
            }
        }
        for (Field field : type.getFields()) {
            if (!Modifier.isStatic(field.getModifiers()) && !Modifier.isFinal(field.getModifiers())
                && members.containsKey(field.getName())) {
                field.setAccessible(true);
                field.set(bean, read(members.get(field.getName()), field.getGenericType()));
            }
        }
        return bean;
    }

    /** Records are newer than the oldest Java that runs this: they are known by their superclass. */
    private static boolean isRecord(Class<?> type) {
        return type.getSuperclass() != null && type.getSuperclass().getName().equals("java.lang.Record");
    }

    private static List<Field> components(Class<?> type) {
        List<Field> fields = new ArrayList<>();
        for (Field field : type.getDeclaredFields()) {
            if (!Modifier.isStatic(field.getModifiers())) {
                fields.add(field);
            }
        }
        return fields;
    }

    private static Object readRecord(Map<String, Object> members, Class<?> type) throws ReflectiveOperationException {
        List<Field> fields = components(type);
        Class<?>[] types = fields.stream().map(Field::getType).toArray(Class<?>[]::new);
        Object[] values = new Object[types.length];
        for (int index = 0; index < values.length; index++) {
            Object value = read(members.get(fields.get(index).getName()), fields.get(index).getGenericType());
            boolean isAbsent = value == null && types[index].isPrimitive();
            values[index] = isAbsent ? Array.get(Array.newInstance(types[index], 1), 0) : value;
        }
        Constructor<?> constructor = type.getDeclaredConstructor(types);
        constructor.setAccessible(true);
        return constructor.newInstance(values);
    }

    private static Object require(Object value, Class<?> kind) {
        if (!kind.isInstance(value)) {
            String found = value instanceof Map ? "an object" : value instanceof List ? "an array" : Json.write(value);
            throw new IllegalArgumentException("An error occurred during JSON parsing: expected "
                + (kind == Map.class ? "an object" : "an array") + ", found " + found);
        }
        return value;
    }

    private static Class<?> rawClass(Type type) {
        if (type instanceof ParameterizedType) {
            return (Class<?>) ((ParameterizedType) type).getRawType();
        }
        return type instanceof Class ? (Class<?>) type : Object.class;
    }

    /** A handler's answer as Json writes it: getters and public fields of beans, components of records. */
    static Object write(Object value) throws ReflectiveOperationException {
        return write(value, 0);
    }

    private static Object write(Object value, int depth) throws ReflectiveOperationException {
        if (depth > DEPTH_MAX) {
            String advice = " levels: does it contain itself?";
            throw new IllegalArgumentException("the answer has more than " + DEPTH_MAX + advice);
        }
        if (value == null || value instanceof CharSequence || value instanceof Number || value instanceof Boolean) {
            return value instanceof CharSequence ? value.toString() : value;
        }
        if (value instanceof Enum) {
            return ((Enum<?>) value).name();
        }
        if (value instanceof byte[]) {
            return Base64.getEncoder().encodeToString((byte[]) value);
        }
        if (value.getClass().isArray()) {
            List<Object> elements = new ArrayList<>();
            for (int index = 0; index < Array.getLength(value); index++) {
                elements.add(write(Array.get(value, index), depth + 1));
            }
            return elements;
        }
        if (value instanceof Iterable) {
            List<Object> elements = new ArrayList<>();
            for (Object element : (Iterable<?>) value) {
                elements.add(write(element, depth + 1));
            }
            return elements;
        }
        if (value instanceof Map) {
            Map<String, Object> members = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                members.put(String.valueOf(entry.getKey()), write(entry.getValue(), depth + 1));
            }
            return members;
        }
        boolean isPlatform = value.getClass().getClassLoader() == null;
        return isPlatform ? value.toString() : writeBean(value, depth);
    }

    private static Map<String, Object> writeBean(Object bean, int depth) throws ReflectiveOperationException {
        Map<String, Object> members = new LinkedHashMap<>();
        Class<?> type = bean.getClass();
        if (isRecord(type)) {
            for (Field field : components(type)) {
                members.put(field.getName(), write(call(type.getMethod(field.getName()), bean), depth + 1));
            }
            return members;
        }
        Map<String, Object> sorted = new TreeMap<>(); // the order of methods is not defined
        for (Method method : type.getMethods()) {
            String name = property(method);
            if (name != null) {
                sorted.put(name, write(call(method, bean), depth + 1));
            }
        }
        for (Field field : type.getFields()) {
            if (!Modifier.isStatic(field.getModifiers())) {
                field.setAccessible(true);
                sorted.putIfAbsent(field.getName(), write(field.get(bean), depth + 1));
            }
        }
        return sorted;
    }

    /** What a getter gets; null for other methods. */
    private static String property(Method method) {
        String name = method.getName();
        Class<?> result = method.getReturnType();
        if (method.getParameterCount() > 0 || method.isBridge() || Modifier.isStatic(method.getModifiers())
            || method.getDeclaringClass() == Object.class || result == void.class) {
            return null;
        }
        int prefix = name.startsWith("get") ? 3 : name.startsWith("is") && result == boolean.class ? 2 : name.length();
        if (prefix >= name.length()) {
            return null;
        }
        return Character.toLowerCase(name.charAt(prefix)) + name.substring(prefix + 1);
    }

    private static Object call(Method method, Object bean) throws ReflectiveOperationException {
        method.setAccessible(true);
        try {
            return method.invoke(bean);
        } catch (InvocationTargetException error) {
            if (error.getCause() instanceof RuntimeException) {
                throw (RuntimeException) error.getCause();
            }
            throw error;
        }
    }
}
