package lambdad;

import com.amazonaws.services.lambda.runtime.Client;
import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import java.util.LinkedHashMap;
import java.util.Map;

/** The context of one event: headers of `next` and the process's environment. */
final class Invocation implements Context {
    private final RuntimeClient.Answer next;
    private final long deadline;

    Invocation(RuntimeClient.Answer next) {
        this.next = next;
        this.deadline = Long.parseLong(next.header("lambda-runtime-deadline-ms"));
    }

    @Override
    public String getAwsRequestId() {
        return next.header("lambda-runtime-aws-request-id");
    }

    @Override
    public String getLogGroupName() {
        return System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
    }

    @Override
    public String getLogStreamName() {
        return System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
    }

    @Override
    public String getFunctionName() {
        return System.getenv("AWS_LAMBDA_FUNCTION_NAME");
    }

    @Override
    public String getFunctionVersion() {
        return System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
    }

    @Override
    public String getInvokedFunctionArn() {
        return next.header("lambda-runtime-invoked-function-arn");
    }

    @Override
    public int getRemainingTimeInMillis() {
        return (int) Math.max(0, deadline - System.currentTimeMillis());
    }

    @Override
    public int getMemoryLimitInMB() {
        return Integer.parseInt(System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
    }

    @Override
    public LambdaLogger getLogger() {
        return LambdaRuntime.getLogger();
    }

    @Override
    public CognitoIdentity getIdentity() {
        Map<String, String> told = texts(parse("lambda-runtime-cognito-identity"));
        return new CognitoIdentity() {
            @Override
            public String getIdentityId() {
                return told.get("cognitoIdentityId");
            }

            @Override
            public String getIdentityPoolId() {
                return told.get("cognitoIdentityPoolId");
            }
        };
    }

    @Override
    public ClientContext getClientContext() {
        Object told = parse("lambda-runtime-client-context");
        if (!(told instanceof Map)) {
            return null;
        }
        Map<?, ?> members = (Map<?, ?>) told;
        return new ClientContext() {
            @Override
            public Client getClient() {
                return members.get("client") == null ? null : new Application(texts(members.get("client")));
            }

            @Override
            public Map<String, String> getCustom() {
                return texts(members.get("custom"));
            }

            @Override
            public Map<String, String> getEnvironment() {
                return texts(members.get("env"));
            }
        };
    }

    private Object parse(String header) {
        String text = next.header(header);
        return text == null || text.isEmpty() ? null : Json.read(text);
    }

    private static Map<String, String> texts(Object value) {
        Map<String, String> texts = new LinkedHashMap<>();
        if (value instanceof Map) {
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                Object text = entry.getValue();
                boolean isText = text == null || text instanceof String;
                texts.put((String) entry.getKey(), isText ? (String) text : Json.write(text));
            }
        }
        return texts;
    }

    private static final class Application implements Client {
        private final Map<String, String> told;

        Application(Map<String, String> told) {
            this.told = told;
        }

        @Override
        public String getInstallationId() {
            return told.get("installation_id");
        }

        @Override
        public String getAppTitle() {
            return told.get("app_title");
        }

        @Override
        public String getAppVersionName() {
            return told.get("app_version_name");
        }

        @Override
        public String getAppVersionCode() {
            return told.get("app_version_code");
        }

        @Override
        public String getAppPackageName() {
            return told.get("app_package_name");
        }
    }
}
