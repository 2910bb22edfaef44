<?php

// What `lambdad runtime test` asks of a function; see docs/runtimes.md.
declare(strict_types=1);

$json = file_get_contents('php://input');
$event = json_decode($json, true);
switch ($event['conformance'] ?? '') {
    case 'echo':
        echo $json;
        break;
    case 'deadline':
        echo json_encode(['deadline_ms' => (int) $_SERVER['LAMBDA_DEADLINE_MS']]);
        break;
    case 'large':
        echo json_encode(str_repeat('x', $event['bytes']));
        break;
    case 'sleep':
        usleep(1000 * $event['ms']);
        echo $json;
        break;
    default:
        http_response_code(500);
        echo 'asked to fail, or unknown here';
}
