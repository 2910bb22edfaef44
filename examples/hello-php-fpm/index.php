<?php

// A small site: what was asked comes back as JSON; /photo is a picture, /visits counts with a cookie.
declare(strict_types=1);

if (isset($_SERVER['LAMBDA_EVENT'])) {
    $event = json_decode(file_get_contents('php://input'), true);
    if (!isset($event['name'])) {
        http_response_code(400);
        exit('no name in the event');
    }
    exit(json_encode(['message' => "Hello, {$event['name']}, from PHP-FPM!"]));
}

switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/photo':
        $image = imagecreatetruecolor(4, 4);
        imagefill($image, 0, 0, imagecolorallocate($image, 255, 0, 0));
        header('Content-Type: image/png');
        imagepng($image);
        break;
    case '/visits':
        $visits = (int) ($_COOKIE['visits'] ?? 0) + 1;
        setcookie('visits', (string) $visits);
        setcookie('seen', 'yes', ['httponly' => true]);
        echo $visits;
        break;
    case '/missing':
        http_response_code(404);
        echo 'not here';
        break;
    case '/crash':
        exit(posix_kill(getmypid(), 9)); // SIGKILL, which only the command line knows by name
    default:
        header('Content-Type: application/json; charset=utf-8');
        echo json_encode([
            'method' => $_SERVER['REQUEST_METHOD'],
            'uri' => $_SERVER['REQUEST_URI'],
            'query' => $_GET,
            'form' => $_POST,
            'upper' => mb_strtoupper($_GET['word'] ?? ''),
            'body_sha256' => hash('sha256', file_get_contents('php://input')),
            'agent' => $_SERVER['HTTP_USER_AGENT'] ?? '',
            'proxy' => getenv('HTTP_PROXY'),
            'interface' => PHP_SAPI,
            'binary' => PHP_BINARY,
            'extensions' => get_loaded_extensions(),
        ]);
}
