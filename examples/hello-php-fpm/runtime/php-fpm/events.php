<?php

// Events as CGI requests and answers as results: payload format 2.0 of function URLs and HTTP APIs; anything else is a
// POST of its JSON, whose answer is JSON too.
declare(strict_types=1);

function is_http(mixed $event): bool
{
    return isset($event['requestContext']['http']['method']);
}

/** The CGI parameters and the body. A header becomes one only if no other header could become the same. */
function http_request(array $event): array
{
    $http = $event['requestContext']['http'];
    $headers = $event['headers'] ?? [];
    $body = $event['body'] ?? '';
    if ($event['isBase64Encoded'] ?? false) {
        $body = base64_decode($body, true);
        if ($body === false) {
            throw new InvalidArgumentException('the body is not base64');
        }
    }
    $query = $event['rawQueryString'] ?? '';
    $path = $event['rawPath'] ?? '/';
    [$host, $port] = explode(':', $headers['host'] ?? 'localhost', 2) + [1 => $headers['x-forwarded-port'] ?? '443'];
    $parameters = [
        'GATEWAY_INTERFACE' => 'CGI/1.1',
        'SERVER_PROTOCOL' => $http['protocol'] ?? 'HTTP/1.1',
        'SERVER_SOFTWARE' => 'lambda',
        'SERVER_NAME' => $host,
        'SERVER_PORT' => $port,
        'REMOTE_ADDR' => $http['sourceIp'] ?? '',
        'REQUEST_METHOD' => $http['method'],
        'REQUEST_URI' => $query === '' ? $path : "$path?$query",
        'QUERY_STRING' => $query,
        'CONTENT_TYPE' => $headers['content-type'] ?? '',
        'CONTENT_LENGTH' => (string) strlen($body),
    ];
    if (($headers['x-forwarded-proto'] ?? '') === 'https') {
        $parameters['HTTPS'] = 'on';
    }
    foreach ($headers as $name => $value) {
        // HTTP_PROXY would be taken for a setting of the script's own HTTP client.
        if (preg_match('/^[a-z0-9-]+$/Di', $name) && strcasecmp($name, 'proxy') !== 0) {
            $parameters['HTTP_' . strtoupper(strtr($name, '-', '_'))] = $value;
        }
    }
    if ($event['cookies'] ?? []) {
        $parameters['HTTP_COOKIE'] = implode('; ', $event['cookies']);
    }
    return [$parameters, $body];
}

/** The JSON of a result in payload format 2.0. What is no UTF-8 text goes as base64. */
function http_answer(Answer $answer): string
{
    $headers = [];
    $cookies = [];
    foreach ($answer->headers as [$name, $value]) {
        $name = strtolower($name);
        if ($name === 'set-cookie') {
            $cookies[] = $value;
        } else {
            $headers[$name] = isset($headers[$name]) ? "$headers[$name], $value" : $value;
        }
    }
    $text = mb_check_encoding($answer->body, 'UTF-8');
    $result = [
        'statusCode' => $answer->status,
        'headers' => (object) $headers,
        'cookies' => $cookies,
        'body' => $text ? $answer->body : base64_encode($answer->body),
        'isBase64Encoded' => !$text,
    ];
    return json_encode($result, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR);
}

/** LAMBDA_EVENT tells the script that this is no request of a browser: those cannot set it. */
function plain_request(string $json): array
{
    return [[
        'GATEWAY_INTERFACE' => 'CGI/1.1',
        'SERVER_PROTOCOL' => 'HTTP/1.1',
        'REQUEST_METHOD' => 'POST',
        'REQUEST_URI' => '/',
        'CONTENT_TYPE' => 'application/json',
        'CONTENT_LENGTH' => (string) strlen($json),
        'LAMBDA_EVENT' => '1',
    ], $json];
}

/** The script's body. A status of 400 or more makes it the error's message. */
function plain_answer(Answer $answer): string
{
    if ($answer->status >= 400) {
        throw new RuntimeException($answer->body === '' ? "status $answer->status" : $answer->body);
    }
    return $answer->body === '' ? 'null' : $answer->body;
}
