<?php

declare(strict_types=1);

function handler(array $event): array
{
    if (!isset($event['name'])) {
        throw new InvalidArgumentException('no name in the event');
    }
    return ['message' => "Hello, {$event['name']}, from PHP!"];
}
