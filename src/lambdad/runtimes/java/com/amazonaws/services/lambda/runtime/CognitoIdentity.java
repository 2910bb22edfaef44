package com.amazonaws.services.lambda.runtime;

/** Who calls, as Amazon Cognito knows it. */
public interface CognitoIdentity {
    String getIdentityId();

    String getIdentityPoolId();
}
