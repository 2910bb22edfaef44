<?php

// What `lambdad runtime test` asks of a function; see docs/runtimes.md.
declare(strict_types=1);

if (getenv('CONFORMANCE_INIT_ERROR')) {
    throw new RuntimeException('asked to fail');
}

function handler(array $event, array $context): array
{
    return match ($event['conformance'] ?? '') {
        'echo' => $event,
        'deadline' => ['deadline_ms' => $context['deadline_ms']],
        'large' => ['text' => str_repeat('x', $event['bytes'])],
        'sleep' => pause($event),
        default => throw new RuntimeException('asked to fail, or unknown here'),
    };
}

function pause(array $event): array
{
    usleep(1000 * $event['ms']);
    return $event;
}
