package lambdad;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON as maps, lists, texts, numbers (Integer, Long, BigInteger, Double), Booleans and null. */
final class Json {
    private static final int DEPTH_MAX = 1000;
    private static final String ESCAPES = "\"\\/bfnrt";
    private static final String ESCAPED = "\"\\/\b\f\n\r\t";

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Throws IllegalArgumentException for what is no JSON. */
    static Object read(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        json.skip();
        if (json.at < text.length()) {
            throw json.wrong("the end");
        }
        return value;
    }

    /** Of what `read` returns, and any Map, Iterable, Number, Boolean and text. */
    static String write(Object value) {
        StringBuilder output = new StringBuilder();
        write(output, value, 0);
        return output.toString();
    }

    private Object value(int depth) {
        if (depth > DEPTH_MAX) {
            throw new IllegalArgumentException("JSON: more than " + DEPTH_MAX + " levels");
        }
        skip();
        if (at == text.length()) {
            throw wrong("a value");
        }
        switch (text.charAt(at)) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> members = new LinkedHashMap<>();
        at++;
        if (isNext('}')) {
            return members;
        }
        do {
            skip();
            String name = string();
            expect(':');
            members.put(name, value(depth + 1));
        } while (isNext(','));
        expect('}');
        return members;
    }

    private List<Object> array(int depth) {
        List<Object> elements = new ArrayList<>();
        at++;
        if (isNext(']')) {
            return elements;
        }
        do {
            elements.add(value(depth + 1));
        } while (isNext(','));
        expect(']');
        return elements;
    }

    private String string() {
        if (at == text.length() || text.charAt(at) != '"') {
            throw wrong("a text");
        }
        int start = ++at;
        StringBuilder whole = null; // most texts have no escape
        while (at < text.length()) {
            char letter = text.charAt(at);
            if (letter == '"') {
                String rest = text.substring(start, at++);
                return whole == null ? rest : whole.append(rest).toString();
            }
            if (letter == '\\') {
                whole = whole == null ? new StringBuilder() : whole;
                whole.append(text, start, at++).append(escape());
                start = at;
            } else if (letter < ' ') {
                throw wrong("an escape");
            } else {
                at++;
            }
        }
        throw wrong("the end of a text");
    }

    private char escape() {
        char letter = at < text.length() ? text.charAt(at++) : ' ';
        if (letter == 'u' && at + 4 <= text.length()) {
            at += 4;
            return (char) Integer.parseInt(text.substring(at - 4, at), 16);
        }
        int index = ESCAPES.indexOf(letter);
        if (index < 0) {
            throw wrong("an escape");
        }
        return ESCAPED.charAt(index);
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw wrong("a value");
        }
        at += word.length();
        return value;
    }

    private Number number() {
        int start = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String digits = text.substring(start, at);
        try {
            if (digits.indexOf('.') >= 0 || digits.indexOf('e') >= 0 || digits.indexOf('E') >= 0) {
                return Double.valueOf(digits);
            }
            if (digits.length() > 18) {
                return new BigInteger(digits);
            }
            long whole = Long.parseLong(digits);
            return (int) whole == whole ? (Number) (int) whole : (Number) whole;
        } catch (NumberFormatException error) {
            at = start;
            throw wrong("a value");
        }
    }

    private boolean isNext(char wanted) {
        skip();
        boolean found = at < text.length() && text.charAt(at) == wanted;
        at += found ? 1 : 0;
        return found;
    }

    private void expect(char wanted) {
        if (!isNext(wanted)) {
            throw wrong("'" + wanted + "'");
        }
    }

    private void skip() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private IllegalArgumentException wrong(String wanted) {
        String found = at < text.length() ? "'" + text.charAt(at) + "'" : "the end";
        return new IllegalArgumentException("JSON: expected " + wanted + " at " + at + ", found " + found);
    }

    private static void write(StringBuilder output, Object value, int depth) {
        if (depth > DEPTH_MAX) {
            throw new IllegalArgumentException("JSON: more than " + DEPTH_MAX + " levels");
        }
        if (value instanceof Map) {
            String separator = "{";
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                output.append(separator);
                writeText(output, String.valueOf(entry.getKey()));
                output.append(':');
                write(output, entry.getValue(), depth + 1);
                separator = ",";
            }
            output.append(separator.equals("{") ? "{}" : "}");
        } else if (value instanceof Iterable) {
            String separator = "[";
            for (Object element : (Iterable<?>) value) {
                output.append(separator);
                write(output, element, depth + 1);
                separator = ",";
            }
            output.append(separator.equals("[") ? "[]" : "]");
        } else if (value == null || value instanceof Boolean || isPlain(value)) {
            output.append(value);
        } else {
            writeText(output, String.valueOf(value)); // NaN and the infinities, too
        }
    }

    private static boolean isPlain(Object value) {
        return value instanceof Number && Double.isFinite(((Number) value).doubleValue())
            || value instanceof BigInteger;
    }

    private static void writeText(StringBuilder output, String text) {
        output.append('"');
        for (int index = 0; index < text.length(); index++) {
            char letter = text.charAt(index);
            int escape = letter == '/' ? -1 : ESCAPED.indexOf(letter);
            boolean isHalf = Character.isSurrogate(letter)
                && !(index + 1 < text.length() && Character.isSurrogatePair(letter, text.charAt(index + 1)))
                && !(index > 0 && Character.isSurrogatePair(text.charAt(index - 1), letter));
            if (escape >= 0) {
                output.append('\\').append(ESCAPES.charAt(escape));
            } else if (letter < ' ' || isHalf) {
                output.append(String.format("\\u%04x", (int) letter));
            } else {
                output.append(letter);
            }
        }
        output.append('"');
    }
}
