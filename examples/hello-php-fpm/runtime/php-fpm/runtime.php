<?php

// Between the Runtime API and PHP-FPM: start FPM, then ask for an event, let FPM answer it, again.
declare(strict_types=1);

require __DIR__ . '/events.php';
require __DIR__ . '/fastcgi.php';

const START_S = 30;

$api = 'http://' . getenv('AWS_LAMBDA_RUNTIME_API') . '/2018-06-01/runtime';

function post(string $url, string $content, string $type): void
{
    $header = ['Content-Type: application/json'];
    if ($type !== '') {
        $header[] = "Lambda-Runtime-Function-Error-Type: $type";
    }
    $options = ['method' => 'POST', 'header' => $header, 'content' => $content, 'ignore_errors' => true];
    file_get_contents($url, false, stream_context_create(['http' => $options]));
}

function post_error(string $url, Throwable $error): void
{
    $type = str_replace('\\', '.', get_class($error));
    $flags = JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE | JSON_THROW_ON_ERROR;
    post($url, json_encode(['errorType' => $type, 'errorMessage' => $error->getMessage()], $flags), $type);
}

/** Start FPM and return once it listens. preload.php of the function, if any, is compiled into it: that is its init. */
function start_fpm(string $root, string $socket): mixed
{
    // FPM leaves this process group: outside of a sandbox it would outlive a runtime that is killed.
    $command = is_executable('/usr/bin/setpriv') ? ['setpriv', '--pdeathsig', 'TERM'] : [];
    $options = ['--nodaemonize', '--force-stderr', '--allow-to-run-as-root', '--fpm-config', __DIR__ . '/php-fpm.conf'];
    array_push($command, 'php-fpm8.2', ...$options);
    if (is_file("$root/preload.php")) {
        $user = posix_geteuid() === 0 ? 'root' : '';
        array_push($command, '-d', "opcache.preload=$root/preload.php", '-d', "opcache.preload_user=$user");
    }
    if (file_exists($socket)) {
        unlink($socket);
    }
    $process = proc_open($command, [STDIN, STDERR, STDERR], $pipes, $root);
    for ($deadline = time() + START_S; time() < $deadline; usleep(2000)) {
        if (!proc_get_status($process)['running']) {
            throw new RuntimeException('PHP-FPM did not start: the log says why');
        }
        $connection = @stream_socket_client("unix://$socket");
        if ($connection !== false) {
            fclose($connection);
            return $process;
        }
    }
    throw new RuntimeException('PHP-FPM does not listen after ' . START_S . ' s');
}

function serve(string $api, FastCgi $fpm, string $root, string $script): void
{
    $body = file_get_contents("$api/invocation/next", false, stream_context_create(['http' => ['timeout' => 86400]]));
    if ($body === false) {
        exit(1);
    }
    $headers = [];
    foreach ($http_response_header as $line) {
        [$name, $value] = explode(':', $line, 2) + [1 => ''];
        $headers[strtolower($name)] = trim($value);
    }
    $invocation = "$api/invocation/{$headers['lambda-runtime-aws-request-id']}";
    try {
        $event = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
        [$parameters, $content] = is_http($event) ? http_request($event) : plain_request($body);
        $parameters += [
            'DOCUMENT_ROOT' => $root,
            'SCRIPT_FILENAME' => "$root/$script",
            'SCRIPT_NAME' => "/$script",
            'LAMBDA_REQUEST_ID' => $headers['lambda-runtime-aws-request-id'],
            'LAMBDA_DEADLINE_MS' => $headers['lambda-runtime-deadline-ms'],
        ];
        $answer = $fpm->request($parameters, $content);
        post("$invocation/response", is_http($event) ? http_answer($answer) : plain_answer($answer), '');
    } catch (Throwable $error) {
        post_error("$invocation/error", $error);
    }
}

$root = getenv('LAMBDA_TASK_ROOT');
$socket = getenv('FPM_SOCKET');
$script = str_ends_with((string) getenv('_HANDLER'), '.php') ? getenv('_HANDLER') : 'index.php';
try {
    $process = start_fpm($root, $socket);
} catch (Throwable $error) {
    post_error("$api/init/error", $error);
    exit(1);
}
register_shutdown_function(fn () => proc_terminate($process));
$fpm = new FastCgi($socket);
while (true) {
    serve($api, $fpm, $root, $script);
}
